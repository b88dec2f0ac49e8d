"""Accounts: CRUD, verification, and a sync by hand."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from api.idempotency import idempotent
from api.preconditions import etag_of
from tasks.command_views import CommandView, job_response
from tasks.models import Job
from tenants.scoping import Role

from .. import services
from ..filters import CloudAccountFilter, ResourceTypeFilter
from ..models import CloudAccount, ResourceType
from ..serializers import (
    AccountAcceptedSerializer,
    AccountSyncSerializer,
    CloudAccountDetailSerializer,
    CloudAccountSerializer,
    ResourceTypeSerializer,
    SyncLogSerializer,
    SyncLogsSerializer,
)
from ..services.account_status import load_account_statuses, summarize_types
from ..services.accounts import get_account

ACCOUNTS = CloudAccount.objects.select_related("tenant").prefetch_related("resource_types")


class _AccountView(CommandView):
    queryset = ACCOUNTS
    serializer_class: Any = CloudAccountSerializer

    def get_serializer_context(self) -> dict[str, Any]:
        """The scope, for what may be told of accounts that are shared."""
        return {
            **super().get_serializer_context(),
            "scope": getattr(self, "scope", None),
            "account_statuses": {},
            "summaries": [],
        }

    def shown(self, account: CloudAccount) -> dict[str, Any]:
        """An account as the answer to a change has it."""
        context = {**self.get_serializer_context(), "account_statuses": load_account_statuses([account])}
        return dict(CloudAccountSerializer(ACCOUNTS.get(pk=account.pk), context=context).data)

    def require_access(self, role: Role) -> None:
        """Raise 404 when the scope does not show the account, 403 when it is another's or the role is too low."""
        get_account(self.scope, self.kwargs["pk"], role)

    def account_response(self, account: CloudAccount, job: Job | None) -> Response:
        """Return 202 with the account and its job; 200 when there is no job."""
        response = job_response(job, {"account": self.shown(account)})
        response["ETag"] = etag_of(account.version)
        return response

    def refresh_body(self, body: dict[str, Any]) -> None:
        """Render the account, if it is still there."""
        account = CloudAccount.objects.filter(pk=body["account"]["id"]).first()
        if account is not None:
            body["account"] = self.shown(account)


class AccountListView(_AccountView, ListAPIView[CloudAccount]):
    """The accounts of one's tenant, and the shared ones."""

    filterset_class = CloudAccountFilter
    # Not the project: of a shared account that is nobody's business, and a count would tell.
    search_fields = ["name"]
    ordering_fields = ["name", "created_at", "last_verified_at"]
    ordering = ["name"]

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """A page of accounts, with what is shown beside them: a fixed number of queries."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        context = {**self.get_serializer_context(), "account_statuses": load_account_statuses(page)}
        return self.get_paginated_response(CloudAccountSerializer(page, many=True, context=context).data)

    @extend_schema(
        request=CloudAccountSerializer,
        responses={200: AccountAcceptedSerializer, 202: AccountAcceptedSerializer},
    )
    def post(self, request: Request) -> Response:
        """Enter an account, for the tenant; for the platform when staff name no tenant. It is verified, then synced."""

        def record() -> Response:
            self.scope.require(Role.ADMIN, CloudAccount)
            serializer = self.get_serializer(data=request.data)
            serializer.is_valid(raise_exception=True)
            account, job = services.create_account(scope=self.scope, fields=serializer.validated_data)
            return self.account_response(account, job)

        return self.run_command(request, record)


class AccountDetailView(_AccountView):
    """One account."""

    honours_if_match = True

    @extend_schema(responses=CloudAccountDetailSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """Read it, with its ETag, its schedule, and how each type was synced last."""
        account: CloudAccount = self.get_object()
        summaries = summarize_types(account) if account.is_owned_by(self.scope) else []
        context = {
            **self.get_serializer_context(),
            "account_statuses": load_account_statuses([account]),
            "summaries": summaries,
        }
        data = CloudAccountDetailSerializer(account, context=context).data
        return Response(data, headers={"ETag": etag_of(account.version)})

    @extend_schema(
        request=CloudAccountSerializer,
        responses={200: AccountAcceptedSerializer, 202: AccountAcceptedSerializer},
    )
    def patch(self, request: Request, pk: int) -> Response:
        """Change it; it is verified anew when its credentials change. A new address needs the secret again."""

        def record() -> Response:
            account = get_account(self.scope, pk)
            serializer = self.get_serializer(account, data=request.data, partial=True)
            serializer.is_valid(raise_exception=True)
            changed, job = services.change_account(
                scope=self.scope,
                account_id=pk,
                fields=serializer.validated_data,
                if_match=request.headers.get("If-Match"),
            )
            return self.account_response(changed, job)

        return self.run_command(request, record)

    @extend_schema(responses={200: AccountAcceptedSerializer, 202: AccountAcceptedSerializer})
    def delete(self, request: Request, pk: int) -> Response:
        """Remove it with all that is known of it, when the portal manages nothing in it. Nothing is done in the cloud."""

        def record() -> Response:
            account, job = services.remove_account(
                scope=self.scope, account_id=pk, if_match=request.headers.get("If-Match")
            )
            return self.account_response(account, job)

        return self.run_command(request, record)


class AccountVerifyView(_AccountView):
    """Try an account's credentials."""

    @extend_schema(request=None, responses={200: AccountAcceptedSerializer, 202: AccountAcceptedSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Log in with them; the result stands on the account when the job has ended."""

        def record() -> Response:
            return self.account_response(*services.verify_account(scope=self.scope, account_id=pk))

        return self.run_command(request, record)


class AccountSyncView(_AccountView):
    """Sync an account by hand."""

    @extend_schema(request=AccountSyncSerializer, responses={202: SyncLogsSerializer})
    @idempotent
    def post(self, request: Request, pk: int) -> Response:
        """Have some types listed now, or all that the account has chosen; a sync that runs already is joined."""
        params = self.validate_body(AccountSyncSerializer(data=request.data), Role.OPERATOR)
        logs = services.request_sync(scope=self.scope, account_id=pk, types=params.get("types"))
        return Response({"logs": SyncLogSerializer(logs, many=True).data}, status=202)


class ResourceTypeListView(ListAPIView[ResourceType]):
    """The types of resources that accounts can have synced."""

    queryset = ResourceType.objects.order_by("provider", "order", "code")
    serializer_class = ResourceTypeSerializer
    filterset_class = ResourceTypeFilter
