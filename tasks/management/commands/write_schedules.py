from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from tasks.schedules import declared_schedules


class Command(BaseCommand):
    """Write the schedules that the code declares. Run it at every deploy; changes of operators are kept."""

    help = __doc__ or ""

    def handle(self, *args: Any, **options: Any) -> None:
        """Create missing schedules; keep the interval and the switch of existing ones."""
        for schedule in declared_schedules():
            # Without a last run, beat would count from its own start. With this one, the schedule is due at once.
            due = timezone.now() - timedelta(seconds=schedule.every_seconds)
            interval, _created = IntervalSchedule.objects.get_or_create(
                every=schedule.every_seconds, period=IntervalSchedule.SECONDS
            )
            code = {"task": schedule.task, "description": str(schedule.description)}
            _task, created = PeriodicTask.objects.update_or_create(
                name=schedule.name,
                defaults=code,
                create_defaults={**code, "interval": interval, "last_run_at": due},
            )
            self.stdout.write(f"{schedule.name}: {'created' if created else 'kept'}")
