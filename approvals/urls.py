from django.urls import path

from . import views

urlpatterns = [
    path("requests/", views.RequestListView.as_view(), name="approval-request-list"),
    path("requests/decisions/", views.BulkDecisionView.as_view(), name="approval-request-decisions"),
    path("requests/<uuid:pk>/", views.RequestDetailView.as_view(), name="approval-request-detail"),
    path("requests/<uuid:pk>/approve/", views.RequestApproveView.as_view(), name="approval-request-approve"),
    path("requests/<uuid:pk>/reject/", views.RequestRejectView.as_view(), name="approval-request-reject"),
    path(
        "requests/<uuid:pk>/withdraw/", views.RequestWithdrawView.as_view(), name="approval-request-withdraw"
    ),
    path(
        "requests/<uuid:pk>/comments/", views.RequestCommentView.as_view(), name="approval-request-comments"
    ),
    path(
        "requests/<uuid:pk>/break-glass/",
        views.RequestBreakGlassView.as_view(),
        name="approval-request-break-glass",
    ),
    path("quota-requests/", views.QuotaRequestView.as_view(), name="quota-request-list"),
    path("approval-policies/", views.PolicyListView.as_view(), name="approval-policy-list"),
    path("approval-policies/<uuid:pk>/", views.PolicyDetailView.as_view(), name="approval-policy-detail"),
    path("approval-delegations/", views.DelegationListView.as_view(), name="approval-delegation-list"),
    path(
        "approval-delegations/<uuid:pk>/",
        views.DelegationDetailView.as_view(),
        name="approval-delegation-detail",
    ),
]
