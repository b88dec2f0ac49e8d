"""Addresses of the pages of requests."""

from django.urls import path

from .pages import delegations, policies, requests

urlpatterns = [
    path("requests/", requests.request_page, name="request-page"),
    path("requests/decisions/", requests.decide_many_page, name="request-decisions"),
    path("requests/quota/", delegations.quota_request_page, name="quota-request-page"),
    path("requests/delegations/new/", delegations.new_delegation_page, name="delegation-new"),
    path("requests/delegations/<uuid:pk>/end/", delegations.end_delegation_page, name="delegation-end"),
    path("requests/<uuid:pk>/", requests.request_detail_page, name="request-detail-page"),
    path("requests/<uuid:pk>/approve/", requests.approve_page, name="request-approve"),
    path("requests/<uuid:pk>/reject/", requests.reject_page, name="request-reject"),
    path("requests/<uuid:pk>/withdraw/", requests.withdraw_page, name="request-withdraw"),
    path("requests/<uuid:pk>/comment/", requests.comment_page, name="request-comment"),
    path("requests/<uuid:pk>/break-glass/", requests.break_glass_page, name="request-break-glass"),
    path("approval-policies/", policies.policy_page, name="approval-policy-page"),
    path("approval-policies/new/", policies.new_policy_page, name="approval-policy-new"),
    path("approval-policies/<uuid:pk>/edit/", policies.edit_policy_page, name="approval-policy-edit"),
    path("approval-policies/<uuid:pk>/remove/", policies.remove_policy_page, name="approval-policy-remove"),
]
