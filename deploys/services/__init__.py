"""The verbs of the room: each locks, checks, writes and submits in one short transaction."""

from .deploying import Candidate, Plan, Strategy, Wish, candidates, deploy, retry, version_of

__all__ = ["Candidate", "Plan", "Strategy", "Wish", "candidates", "deploy", "retry", "version_of"]
