from django.urls import path

from . import queue_views, views

urlpatterns = [
    path("jobs/", views.JobListView.as_view(), name="job-list"),
    path("jobs/<uuid:pk>/", views.JobDetailView.as_view(), name="job-detail"),
    path("jobs/<uuid:pk>/cancel/", views.JobCancelView.as_view(), name="job-cancel"),
    path("jobs/<uuid:pk>/resume/", views.JobResumeView.as_view(), name="job-resume"),
    path("jobs/<uuid:pk>/end/", views.JobEndView.as_view(), name="job-end"),
    path("jobs/<uuid:pk>/retry/", views.JobRetryView.as_view(), name="job-retry"),
    path("jobs/<uuid:pk>/events/", views.JobEventsView.as_view(), name="job-events"),
    path("jobs/<uuid:pk>/lines/", views.JobLinesView.as_view(), name="job-lines"),
    path("queue/schedules/", queue_views.ScheduleListView.as_view(), name="queue-schedules"),
    path("queue/schedules/<int:pk>/", queue_views.ScheduleView.as_view(), name="queue-schedule"),
    path("queue/workers/", queue_views.WorkersView.as_view(), name="queue-workers"),
    path("queue/summary/", queue_views.SummaryView.as_view(), name="queue-summary"),
]
