"""Serializers of jobs."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from api.read_serializers import ReadOnlyModelSerializer
from api.serializers import PlainCharField, StrictSerializer

from .command import command_title, step_name, step_title
from .models import Job, JobLogLine, JobStatus, Step, StepStatus


def describe_job(job: Job) -> str:
    """Return the description of a job in the reader's language: the command's title and the subject."""
    title = command_title(job.kind)
    return f"{title}: {job.subject}" if job.subject else title


def job_progress(job: Job) -> int:
    """Return the percentage of a job's steps that are done; a job that succeeded is at 100.

    For a job that waits for children it is computed from the whole tree: see `queries.TREE_PROGRESS`.
    """
    if job.status == JobStatus.SUCCEEDED:
        return 100
    tree_progress = getattr(job, "tree_progress", None)
    if tree_progress is not None:
        return int(tree_progress)
    steps = list(job.steps.all())
    return sum(step.progress for step in steps) // len(steps) if steps else 0


class StepSerializer(ReadOnlyModelSerializer[Step]):
    """One named part of a job."""

    name = serializers.SerializerMethodField()
    title = serializers.SerializerMethodField()
    status_display = serializers.CharField(source="get_status_display", read_only=True)

    class Meta:
        model = Step
        fields = [
            "name",
            "title",
            "status",
            "status_display",
            "progress",
            "started_at",
            "ended_at",
            "message",
        ]

    def get_name(self, step: Step) -> str:
        return step_name(step.job.kind, step.name)

    def get_title(self, step: Step) -> str:
        return step_title(step.job.kind, step.name)


class OutcomeSerializer(serializers.Serializer[Any]):
    """The outcome of a job: a stable code for programs, and a message for people."""

    code = serializers.CharField()
    message = serializers.CharField()


class JobBriefSerializer(ReadOnlyModelSerializer[Job]):
    """A short form of a job, for lists and for objects that a job has locked."""

    status_display = serializers.CharField(source="get_status_display", read_only=True)
    description = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields = ["id", "kind", "description", "status", "status_display", "created_at"]

    def get_description(self, job: Job) -> str:
        return describe_job(job)


class JobSerializer(ReadOnlyModelSerializer[Job]):
    """One run of a command, with its steps."""

    description = serializers.SerializerMethodField()
    status_display = serializers.CharField(source="get_status_display", read_only=True)
    progress = serializers.SerializerMethodField()
    steps = serializers.SerializerMethodField()
    children = serializers.SerializerMethodField()
    outcome = serializers.SerializerMethodField()
    created_by = serializers.SerializerMethodField()
    can_cancel = serializers.BooleanField(read_only=True)

    class Meta:
        model = Job
        fields = [
            "id",
            "kind",
            "description",
            "status",
            "status_display",
            "progress",
            "entity_type",
            "entity_id",
            "steps",
            "parent",
            "children",
            "outcome",
            "created_at",
            "started_at",
            "ended_at",
            "created_by",
            "can_cancel",
            "request_id",
        ]

    def get_description(self, job: Job) -> str:
        return describe_job(job)

    def get_progress(self, job: Job) -> int:
        return job_progress(job)

    @extend_schema_field(StepSerializer(many=True))
    def get_steps(self, job: Job) -> Any:
        steps = list(job.steps.all())
        if job.status == JobStatus.RUNNING:
            # A claim does not write the step, to need only one statement, so the step is shown as running here.
            current = next(
                (step for step in steps if step.status in {StepStatus.PENDING, StepStatus.WAITING}), None
            )
            if current is not None:
                current.status = StepStatus.RUNNING
                current.started_at = current.started_at or job.started_at
        return StepSerializer(steps, many=True).data

    @extend_schema_field(JobBriefSerializer(many=True))
    def get_children(self, job: Job) -> Any:
        """Return the first hundred children; `jobs/?parent=<id>` lists all of them."""
        return JobBriefSerializer(getattr(job, "first_children", []), many=True).data

    @extend_schema_field(OutcomeSerializer(allow_null=True))
    def get_outcome(self, job: Job) -> dict[str, str] | None:
        if not job.outcome_code:
            return None
        return {"code": job.outcome_code, "message": job.outcome_message}

    def get_created_by(self, job: Job) -> str | None:
        return job.created_by.get_username() if job.created_by else None


class JobEventSerializer(serializers.Serializer[Any]):
    """One server-sent event. `data` is JSON: a job, a line of its log, or, for `end`, the job's last status."""

    event = serializers.ChoiceField(choices=["job", "line", "end"], required=False)
    data = serializers.CharField(required=False)  # type: ignore[assignment] # the name of the field in the stream.
    id = serializers.CharField(required=False)
    retry = serializers.IntegerField(required=False)


class AcceptedJobSerializer(serializers.Serializer[Any]):
    """The job that carries out an accepted request."""

    job = JobSerializer()


class DecisionSerializer(StrictSerializer):
    """The reason of a decision; it is stored in the task log."""

    reason = PlainCharField(max_length=1000)


class EndSerializer(DecisionSerializer):
    """The reason, and whether the job is undone first."""

    undo = serializers.BooleanField(default=False)


class JobLogLineSerializer(ReadOnlyModelSerializer[JobLogLine]):
    """A line of a job's log."""

    class Meta:
        model = JobLogLine
        fields = ["id", "at", "level", "message"]
