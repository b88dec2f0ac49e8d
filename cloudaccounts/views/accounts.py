"""Views of accounts: CRUD, verification, and syncs by hand."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.idempotency import idempotent
from api.preconditions import etag_of
from api.replica.reads import read_list
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
    ProviderSerializer,
    ResourceTypeSerializer,
    SyncLogSerializer,
    SyncLogsSerializer,
    VendorAccountSerializer,
    build_account_serializer,
)
from ..services.account_status import load_account_statuses, summarize_types
from ..services.accounts import get_account

# An account of OpenStack has fields of its own, that of another vendor has its form under `credentials`.
_ACCOUNT_REQUEST = PolymorphicProxySerializer(
    component_name="AnyCloudAccount",
    serializers=[CloudAccountSerializer, VendorAccountSerializer],
    resource_type_field_name=None,
)
ACCOUNTS = CloudAccount.objects.select_related("tenant").prefetch_related("resource_types")


class _AccountView(CommandView):
    queryset = ACCOUNTS
    serializer_class: Any = CloudAccountSerializer

    def get_serializer_context(self) -> dict[str, Any]:
        """Add the scope, by which fields of shared accounts are hidden, and empty statuses."""
        return {
            **super().get_serializer_context(),
            "scope": getattr(self, "scope", None),
            "account_statuses": {},
            "summaries": [],
        }

    def render_account(self, account: CloudAccount) -> dict[str, Any]:
        """Render an account for the response to a change."""
        context = {**self.get_serializer_context(), "account_statuses": load_account_statuses([account])}
        return dict(CloudAccountSerializer(ACCOUNTS.get(pk=account.pk), context=context).data)

    def require_access(self, role: Role) -> None:
        """Raise 404 for an account outside the scope, and 403 for one that the caller may not change."""
        get_account(self.scope, self.kwargs["pk"], role)

    def account_response(self, account: CloudAccount, job: Job | None) -> Response:
        """Return 202 with the account and its job; 200 when there is no job."""
        response = job_response(job, {"account": self.render_account(account)})
        response["ETag"] = etag_of(account.version)
        return response

    def refresh_body(self, body: dict[str, Any]) -> None:
        """Render the account anew, if it still exists."""
        account = CloudAccount.objects.filter(pk=body["account"]["id"]).first()
        if account is not None:
            body["account"] = self.render_account(account)


class AccountListView(_AccountView, ListAPIView[CloudAccount]):
    """The accounts of the tenant, and the shared ones."""

    filterset_class = CloudAccountFilter
    # Not the project: the number of results would reveal the project of a shared account.
    search_fields = ["name"]
    ordering_fields = ["name", "created_at", "last_verified_at"]
    ordering = ["name"]

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List a page of accounts with their statuses, in a fixed number of queries."""

        def read() -> Response:
            page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
            context = {**self.get_serializer_context(), "account_statuses": load_account_statuses(page)}
            return self.get_paginated_response(CloudAccountSerializer(page, many=True, context=context).data)

        return read_list(request, read)

    @extend_schema(
        request=_ACCOUNT_REQUEST,
        responses={200: AccountAcceptedSerializer, 202: AccountAcceptedSerializer},
    )
    def post(self, request: Request) -> Response:
        """Create an account for the tenant; a shared one when staff name no tenant. It is verified, then synced."""

        def record() -> Response:
            self.scope.require(Role.ADMIN, CloudAccount)
            serializer = build_account_serializer(request.data, context=self.get_serializer_context())
            serializer.is_valid(raise_exception=True)
            account, job = services.create_account(scope=self.scope, fields=serializer.validated_data)
            return self.account_response(account, job)

        return self.run_command(request, record)


class AccountDetailView(_AccountView):
    """One account."""

    honours_if_match = True

    @extend_schema(responses=CloudAccountDetailSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """Return the account with its ETag, its schedule, and a summary of each type."""
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
        request=_ACCOUNT_REQUEST,
        responses={200: AccountAcceptedSerializer, 202: AccountAcceptedSerializer},
    )
    def patch(self, request: Request, pk: int) -> Response:
        """Change the account; it is verified again when its credentials change. A new address needs the secret again."""

        def record() -> Response:
            account = get_account(self.scope, pk)
            serializer = build_account_serializer(
                request.data, account=account, context=self.get_serializer_context()
            )
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
        """Delete the account with everything that was synced, unless the portal manages resources in it. The cloud is not changed."""

        def record() -> Response:
            account, job = services.remove_account(
                scope=self.scope, account_id=pk, if_match=request.headers.get("If-Match")
            )
            return self.account_response(account, job)

        return self.run_command(request, record)


class AccountVerifyView(_AccountView):
    """Verify an account's credentials."""

    @extend_schema(request=None, responses={200: AccountAcceptedSerializer, 202: AccountAcceptedSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Log in with the credentials; the job writes the result to the account."""

        def record() -> Response:
            return self.account_response(*services.verify_account(scope=self.scope, account_id=pk))

        return self.run_command(request, record)


class AccountSyncView(_AccountView):
    """Sync an account by hand."""

    @extend_schema(request=AccountSyncSerializer, responses={202: SyncLogsSerializer})
    @idempotent
    def post(self, request: Request, pk: int) -> Response:
        """Sync some types now, or all that the account has selected. A sync that is already running is joined."""
        params = self.validate_body(AccountSyncSerializer(data=request.data), Role.OPERATOR)
        logs = services.request_sync(scope=self.scope, account_id=pk, types=params.get("types"))
        return Response({"logs": SyncLogSerializer(logs, many=True).data}, status=202)


class ProviderListView(APIView):
    """The types of cloud: the forms of their accounts, and what they have."""

    @extend_schema(responses=ProviderSerializer(many=True), filters=False)
    def get(self, request: Request) -> Response:
        """List the types of cloud. Those whose SDK is not installed are listed, too."""
        return Response(ProviderSerializer(services.describe_providers(), many=True).data)


class ResourceTypeListView(ListAPIView[ResourceType]):
    """The resource types that can be synced."""

    queryset = ResourceType.objects.order_by("provider", "order", "code")
    serializer_class = ResourceTypeSerializer
    filterset_class = ResourceTypeFilter
