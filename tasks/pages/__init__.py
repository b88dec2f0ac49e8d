"""The web pages of the task manager, where a job is called a task."""

from .decisions import decide_job_page
from .job import cancel_job_page, job_page, job_page_events
from .listing import task_page
from .queue import queue_page, switch_schedule_page

__all__ = [
    "cancel_job_page",
    "decide_job_page",
    "job_page",
    "job_page_events",
    "queue_page",
    "switch_schedule_page",
    "task_page",
]
