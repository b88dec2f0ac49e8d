"""Addresses of the pages of security groups, floating IPs and server groups."""

from django.urls import path

from . import pages

urlpatterns = [
    path("security-groups/", pages.security_group_page, name="security-group-page"),
    path("security-groups/new/", pages.new_security_group_page, name="security-group-new"),
    path("security-groups/<uuid:pk>/", pages.security_group_detail_page, name="security-group-detail-page"),
    path("security-groups/<uuid:pk>/edit/", pages.edit_security_group_page, name="security-group-edit"),
    path("security-groups/<uuid:pk>/copy/", pages.copy_security_group_page, name="security-group-copy-page"),
    path("security-groups/<uuid:pk>/remove/", pages.remove_security_group_page, name="security-group-remove"),
    path("security-groups/<uuid:pk>/rules/", pages.add_rule_page, name="security-group-add-rule"),
    path("security-groups/<uuid:pk>/template/", pages.add_template_page, name="security-group-add-template"),
    path(
        "security-groups/<uuid:pk>/rules/<uuid:rule_pk>/remove/",
        pages.remove_rule_page,
        name="security-group-remove-rule",
    ),
    path("floating-ips/", pages.floating_ip_page, name="floating-ip-page"),
    path("floating-ips/take/", pages.take_floating_ip_page, name="floating-ip-take"),
    path("floating-ips/<uuid:pk>/release/", pages.release_floating_ip_page, name="floating-ip-release"),
    path("server-groups/", pages.server_group_page, name="server-group-page"),
    path("server-groups/new/", pages.new_server_group_page, name="server-group-new"),
    path("server-groups/<uuid:pk>/remove/", pages.remove_server_group_page, name="server-group-remove"),
]
