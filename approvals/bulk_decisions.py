"""The same decision about several requests, each in a transaction of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from api.domain_errors import DomainError
from tenants.scoping import Scope

from .services import ApprovalResult, approve_request, reject_request


def decide_many(*, scope: Scope, ids: Sequence[UUID], decision: str, comment: str) -> list[dict[str, Any]]:
    """Approve or reject requests, in the order of their ids; return a result for each.

    A refusal of one leaves the others as they were decided. They are locked one after the other in the order of their ids,
    so two such calls never wait for each other.
    """
    results = {
        request_id: _decide(scope, request_id, decision, comment) for request_id in sorted({*ids}, key=str)
    }
    return [results[request_id] for request_id in dict.fromkeys(ids)]


def _decide(scope: Scope, request_id: UUID, decision: str, comment: str) -> dict[str, Any]:
    try:
        with transaction.atomic():
            if decision == "approve":
                result = approve_request(scope=scope, request_id=request_id, comment=comment)
            else:
                rejected = reject_request(scope=scope, request_id=request_id, comment=comment)
                result = ApprovalResult(rejected, [])
    except DomainError as refused:
        refusal = {"code": refused.code, "detail": str(refused.detail)}
        return {"id": request_id, "status": None, "job": None, "refusal": refusal}
    job = result.jobs[0].pk if result.jobs else None
    return {"id": request_id, "status": result.request.status, "job": job, "refusal": None}
