"""Addresses of the pages of jobs."""

from django.urls import path

from . import pages

urlpatterns = [
    path("jobs/<uuid:pk>/", pages.job_page, name="job-page"),
    path("jobs/<uuid:pk>/cancel/", pages.cancel_job_page, name="job-page-cancel"),
    path("jobs/<uuid:pk>/events/", pages.job_page_events, name="job-page-events"),
]
