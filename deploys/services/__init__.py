"""Use cases of the room: each locks, checks, writes and submits in one short transaction."""

from .deployments import Candidate, DeployParams, Plan, Strategy, deploy, find_version, list_candidates, retry

__all__ = [
    "Candidate",
    "DeployParams",
    "Plan",
    "Strategy",
    "deploy",
    "find_version",
    "list_candidates",
    "retry",
]
