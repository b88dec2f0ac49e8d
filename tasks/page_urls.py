"""Addresses of the pages of jobs, which pages call tasks."""

from django.urls import path

from . import pages

urlpatterns = [
    path("tasks/", pages.task_page, name="task-page"),
    path("jobs/<uuid:pk>/", pages.job_page, name="job-page"),
    path("jobs/<uuid:pk>/cancel/", pages.cancel_job_page, name="job-page-cancel"),
    path("jobs/<uuid:pk>/decide/", pages.decide_job_page, name="job-page-decide"),
    path("jobs/<uuid:pk>/events/", pages.job_page_events, name="job-page-events"),
    path("queue/", pages.queue_page, name="queue-page"),
    path("queue/schedules/<int:pk>/", pages.switch_schedule_page, name="queue-switch-schedule"),
]
