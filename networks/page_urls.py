"""Addresses of the pages of security groups, floating IPs and server groups."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
