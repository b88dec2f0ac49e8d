"""Addresses of the pages of events."""

from django.urls import path

from . import pages

urlpatterns = [
    path("audit/", pages.audit_page, name="audit-page"),
]
