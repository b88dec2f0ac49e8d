from django.urls import path

from . import queue_views, views

urlpatterns = [
    path("jobs/", views.JobList.as_view(), name="job-list"),
    path("jobs/<uuid:pk>/", views.JobDetail.as_view(), name="job-detail"),
    path("jobs/<uuid:pk>/cancel/", views.JobCancel.as_view(), name="job-cancel"),
    path("jobs/<uuid:pk>/resume/", views.JobResume.as_view(), name="job-resume"),
    path("jobs/<uuid:pk>/end/", views.JobEnd.as_view(), name="job-end"),
    path("jobs/<uuid:pk>/retry/", views.JobRetry.as_view(), name="job-retry"),
    path("jobs/<uuid:pk>/events/", views.JobEvents.as_view(), name="job-events"),
    path("jobs/<uuid:pk>/lines/", views.JobLines.as_view(), name="job-lines"),
    path("queue/schedules/", queue_views.Schedules.as_view(), name="queue-schedules"),
    path("queue/schedules/<int:pk>/", queue_views.Schedule.as_view(), name="queue-schedule"),
    path("queue/workers/", queue_views.Workers.as_view(), name="queue-workers"),
    path("queue/summary/", queue_views.Summary.as_view(), name="queue-summary"),
]
