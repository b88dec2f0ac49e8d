"""Serializers of the queue page."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from django_celery_beat.models import PeriodicTask
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import StrictSerializer

from .engine import allowed_decisions
from .models import Job, JobStatus
from .queues import BrokerStatus, Summary, is_late, known_queues, next_run_at
from .schedules import schedule_description
from .serializers import JobBriefSerializer


class ScheduleSerializer(ReadOnlyModelSerializer[PeriodicTask]):
    """A schedule of beat."""

    description = serializers.SerializerMethodField()
    every_seconds = serializers.SerializerMethodField()
    crontab = serializers.SerializerMethodField()
    next_run_at = serializers.SerializerMethodField()
    late = serializers.SerializerMethodField()

    class Meta:
        model = PeriodicTask
        fields = [
            "id",
            "name",
            "task",
            "description",
            "every_seconds",
            "crontab",
            "enabled",
            "last_run_at",
            "next_run_at",
            "total_run_count",
            "late",
        ]

    def get_description(self, schedule: PeriodicTask) -> str:
        """Return the purpose of a schedule; for the portal's own schedules, in the reader's language."""
        return schedule_description(schedule.name) or schedule.description

    def get_every_seconds(self, schedule: PeriodicTask) -> float | None:
        """Return the interval of a schedule; None for a schedule with a crontab."""
        return schedule.interval.schedule.run_every.total_seconds() if schedule.interval else None

    def get_crontab(self, schedule: PeriodicTask) -> str | None:
        """Return the crontab of a schedule; None for a schedule with an interval."""
        return str(schedule.crontab) if schedule.crontab else None

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_run_at(self, schedule: PeriodicTask) -> datetime | None:
        """Return when beat will send the schedule next, according to its row."""
        return next_run_at(schedule)

    def get_late(self, schedule: PeriodicTask) -> bool:
        """Return whether beat is late with the schedule."""
        return is_late(schedule)


class ScheduleChangeSerializer(StrictSerializer):
    """Changes of a schedule by an operator. Deploys keep them."""

    enabled = serializers.BooleanField(required=False)
    every_seconds = serializers.IntegerField(min_value=1, max_value=31 * 24 * 3600, required=False)


class WorkerSerializer(serializers.Serializer[Any]):
    """A worker that is online."""

    name = serializers.CharField()
    queues = serializers.ListField(child=serializers.CharField())
    concurrency = serializers.IntegerField()
    active = serializers.IntegerField()
    reserved = serializers.IntegerField()
    done = serializers.IntegerField()
    uptime_seconds = serializers.IntegerField()
    pid = serializers.IntegerField()


class WorkersSerializer(serializers.Serializer[Any]):
    """The workers. `workers` is null when they are unknown because the broker does not answer."""

    known = serializers.BooleanField()
    workers = WorkerSerializer(many=True, allow_null=True)


class StatusCountSerializer(serializers.Serializer[Any]):
    """The jobs of one status, by age."""

    status = serializers.ChoiceField(choices=JobStatus.choices)
    count = serializers.IntegerField()
    oldest = serializers.DateTimeField()
    under_a_minute = serializers.IntegerField()
    under_ten_minutes = serializers.IntegerField()
    under_an_hour = serializers.IntegerField()


class TroubledJobSerializer(JobBriefSerializer):
    """A job that needs attention, with the possible decisions."""

    message = serializers.CharField(source="outcome_message", read_only=True)
    decisions = serializers.SerializerMethodField()

    class Meta(JobBriefSerializer.Meta):
        fields = [*JobBriefSerializer.Meta.fields, "message", "decisions"]

    def get_decisions(self, job: Job) -> list[str]:
        """Return the decisions that `jobs/{id}/` accepts now: resume, end, retry."""
        return allowed_decisions(job)


class OverdueSerializer(JobBriefSerializer):
    """The job that is overdue for the longest time."""

    overdue_seconds = serializers.SerializerMethodField()

    class Meta(JobBriefSerializer.Meta):
        fields = [*JobBriefSerializer.Meta.fields, "overdue_seconds"]

    def get_overdue_seconds(self, job: Job) -> float:
        """Return for how many seconds the job is overdue."""
        return round((timezone.now() - job.not_before).total_seconds(), 1)


class QueueDepthSerializer(serializers.Serializer[Any]):
    """A queue. A value is null when it is unknown because the broker or the workers do not answer."""

    name = serializers.CharField()
    messages = serializers.IntegerField(allow_null=True)
    has_worker = serializers.BooleanField(allow_null=True)


class SummarySerializer(serializers.Serializer[Summary]):
    """Jobs by status and age, overdue jobs, jobs in trouble, and the state of beat and the queues."""

    by_status = StatusCountSerializer(many=True)
    # The present statuses of the jobs that were submitted in the last hour.
    last_hour = serializers.DictField(child=serializers.IntegerField())
    overdue = serializers.IntegerField()
    oldest_overdue = OverdueSerializer(allow_null=True)
    troubled = TroubledJobSerializer(many=True)
    troubled_count = serializers.IntegerField()
    canary_seconds_ago = serializers.FloatField(allow_null=True)
    beat_seconds_ago = serializers.FloatField(allow_null=True)
    queues = serializers.SerializerMethodField()

    @extend_schema_field(QueueDepthSerializer(many=True))
    def get_queues(self, summary: Summary) -> list[dict[str, Any]]:
        """Return every queue that messages are sent to."""
        return describe_queues(summary.broker)


def describe_queues(broker: BrokerStatus | None) -> list[dict[str, Any]]:
    """Return each queue with its depth and whether a worker reads it; None for unknown values."""
    return [
        {
            "name": name,
            "messages": broker.depths[name] if broker else None,
            "has_worker": name in broker.served if broker else None,
        }
        for name in known_queues()
    ]
