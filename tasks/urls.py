from django.urls import path

from . import views

urlpatterns = [
    path("jobs/", views.JobList.as_view(), name="job-list"),
    path("jobs/<uuid:pk>/", views.JobDetail.as_view(), name="job-detail"),
    path("jobs/<uuid:pk>/cancel/", views.JobCancel.as_view(), name="job-cancel"),
    path("jobs/<uuid:pk>/resume/", views.JobResume.as_view(), name="job-resume"),
    path("jobs/<uuid:pk>/end/", views.JobEnd.as_view(), name="job-end"),
    path("jobs/<uuid:pk>/retry/", views.JobRetry.as_view(), name="job-retry"),
    path("jobs/<uuid:pk>/lines/", views.JobLines.as_view(), name="job-lines"),
]
