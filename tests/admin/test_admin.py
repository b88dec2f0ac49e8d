"""Every page of the admin: it opens, it is searched and filtered, and it costs the same with many rows as with few."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

import portal.urls  # noqa: F401 - it discovers the tables of the admin.
from tasks.models import AsyncTask, EntityLock, Job
from tenants.models import Tenant, User
from tests.factories import MembershipFactory, UserFactory
from tests.stories import select_evenly
from vms.models import SyncRun, VirtualMachine, VMOperationLog

from .rows import MAKE, a_job, a_line, a_lock, a_step, a_watch

pytestmark = pytest.mark.django_db

every_model = pytest.mark.parametrize("model", list(MAKE), ids=lambda model: model._meta.label)
# What Django's own code does in the same way for each table.
some_models = pytest.mark.parametrize("model", select_evenly(MAKE, 16), ids=lambda model: model._meta.label)
READ_ONLY = [Job, EntityLock, AsyncTask, VMOperationLog, SyncRun]
read_only = pytest.mark.parametrize("model", READ_ONLY, ids=lambda model: model._meta.label)


def url(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def queries_of(client, address):
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(address)
    assert answer.status_code == 200
    return [query["sql"] for query in captured]


def grown(few, many):
    """What is asked more often with many rows, for the message of a failure."""

    def shape(sql):
        return sql.split(" WHERE ")[0][:150]

    shapes = {shape(sql) for sql in many}
    counts = {
        one: (sum(shape(sql) == one for sql in few), sum(shape(sql) == one for sql in many)) for one in shapes
    }
    return {one: count for one, count in counts.items() if count[0] != count[1]}


def test_every_table_of_the_admin_is_tried_below():
    assert set(admin.site._registry) == set(MAKE)


def test_the_first_page_opens(administrator):
    assert administrator.get(reverse("admin:index")).status_code == 200


@every_model
def test_a_list_is_searched_opens_its_rows_and_costs_the_same_with_many(administrator, model):
    """In one test, because most of the time goes into rows and pages, which all of it needs."""
    address = url(model, "changelist")
    rows = [MAKE[model]()]
    for text in select_evenly(["%00", "vm", "a' OR 1=1", "租户", str(rows[0].pk)], 1):
        assert administrator.get(address, {"q": text}).status_code == 200
    assert administrator.get(url(model, "change", rows[0].pk)).status_code == 200
    # What is looked up once a process has been looked up by now.
    few = queries_of(administrator, address)

    rows += [MAKE[model]() for _ in range(2)]
    with CaptureQueriesContext(connection) as captured:
        listed = administrator.get(address)
    many = [query["sql"] for query in captured]

    assert listed.status_code == 200
    assert set(rows) <= set(listed.context["cl"].result_list)
    assert len(many) == len(few), grown(few, many)


@some_models
def test_the_list_is_filtered_by_each_choice_of_each_filter(administrator, model):
    for _ in range(3):
        MAKE[model]()
    address = url(model, "changelist")
    listed = administrator.get(address).context["cl"]
    specs = listed.filter_specs
    # A filter with a single choice is left out of the page, as it would change nothing.
    assert len(specs) <= len(listed.list_filter)
    if listed.list_filter:
        assert specs

    # One request tries a choice of each filter at once: a page of the admin takes long to be drawn.
    choices = [select_evenly(list(spec.choices(listed))[:6], 2) for spec in specs]
    for number in range(max(map(len, choices), default=0)):
        chosen = [of_one[number]["query_string"] for of_one in choices if number < len(of_one)]
        query = "&".join(filter(None, (one.lstrip("?") for one in chosen)))
        answer = administrator.get(f"{address}?{query}")
        assert answer.status_code == 200, query
        assert "e=1" not in answer.request["QUERY_STRING"]  # So Django says that a filter is wrong.


@some_models
def test_the_list_is_sorted_by_each_column(administrator, model):
    for _ in range(2):
        MAKE[model]()
    columns = len(administrator.get(url(model, "changelist")).context["cl"].list_display)

    order = ".".join(f"-{column}" for column in range(columns))

    assert administrator.get(url(model, "changelist"), {"o": order}).status_code == 200


def a_tenant_with(members):
    tenant = MembershipFactory().tenant
    MembershipFactory.create_batch(members - 1, tenant=tenant)
    return tenant


def a_user_in(tenants):
    user = UserFactory()
    MembershipFactory.create_batch(tenants, user=user)
    return user


def a_job_with(parts):
    job = a_job()
    for make in (a_step, a_watch, a_lock, a_line):
        for _ in range(parts):
            make(job)
    return job


@pytest.mark.parametrize(
    ("model", "make"),
    [(Tenant, a_tenant_with), (User, a_user_in), (Job, a_job_with)],
    ids=["a tenant with members", "a user in tenants", "a job with steps, watches, locks and lines"],
)
def test_a_row_with_thirty_parts_costs_no_more_queries_than_one_with_three(administrator, model, make):
    small, large = url(model, "change", make(3).pk), url(model, "change", make(30).pk)
    administrator.get(small)

    few, many = queries_of(administrator, small), queries_of(administrator, large)

    assert len(many) == len(few), grown(few, many)


def test_members_are_added_changed_and_removed_on_the_tenants_page(administrator):
    stays, goes = MembershipFactory.create_batch(
        2, tenant=MembershipFactory(user__username="left alone").tenant
    )
    tenant, newcomer = stays.tenant, UserFactory()
    page = url(Tenant, "change", tenant.pk)
    context = administrator.get(page).context
    (formset,) = [inline.formset for inline in context["inline_admin_formsets"]]
    fields = {"name": tenant.name, "slug": tenant.slug, "active": "on"}
    for form in (formset.management_form, *formset.forms):
        fields |= {form.add_prefix(name): form[name].value() or "" for name in form.fields}
    of = {form.instance.pk: form.prefix for form in formset.initial_forms}
    fields |= {f"{of[stays.pk]}-role": "admin", f"{of[goes.pk]}-DELETE": "on"}
    fields |= {"memberships-TOTAL_FORMS": "4", "memberships-3-user": str(newcomer.pk)}
    fields |= {"memberships-3-role": "viewer", "memberships-3-tenant": str(tenant.pk)}

    answer = administrator.post(page, fields)

    assert answer.status_code == 302, answer.context["errors"]
    members = dict(tenant.memberships.exclude(user__username="left alone").values_list("user", "role"))
    assert members == {stays.user_id: "admin", newcomer.pk: "viewer"}


# --- What nobody changes -----------------------------------------------------------------------------------


@read_only
def test_what_the_engine_and_the_syncs_write_is_only_read(administrator, model):
    row = MAKE[model]()
    before = model.objects.filter(pk=row.pk).values().get()

    assert administrator.get(url(model, "add")).status_code == 403
    assert administrator.post(url(model, "add"), {}).status_code == 403
    assert administrator.post(url(model, "change", row.pk), {"status": "failed"}).status_code == 403
    assert administrator.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    administrator.post(
        url(model, "changelist"),
        {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"},
    )

    assert model.objects.filter(pk=row.pk).values().get() == before
    page = administrator.get(url(model, "change", row.pk)).content.decode()
    assert 'name="_save"' not in page
    assert "deletelink" not in page


def test_every_table_of_the_engine_in_the_admin_is_read_only():
    of_the_engine = {model for model in admin.site._registry if model._meta.app_label == "tasks"}

    assert of_the_engine <= set(READ_ONLY)


def test_what_the_cloud_says_of_a_vm_is_shown_and_not_edited(administrator):
    vm = MAKE[VirtualMachine]()
    form = administrator.get(url(VirtualMachine, "change", vm.pk)).context["adminform"].form

    said_by_the_cloud = {
        "status",
        "ip_address",
        "mac_address",
        "addresses",
        "fault",
        "observed_at",
        "desired_state",
    }

    assert not said_by_the_cloud & set(form.fields)


# --- Who may not -------------------------------------------------------------------------------------------


@some_models
def test_who_is_not_staff_is_sent_to_the_login(client, model):
    row = MAKE[model]()
    pages = [url(model, "changelist"), url(model, "add"), url(model, "change", row.pk)]
    pages += [url(model, "delete", row.pk), url(model, "history", row.pk)]

    for person in (None, UserFactory(), UserFactory(is_superuser=True)):
        if person:
            client.force_login(person)
        for page in pages:
            answer = client.get(page)
            assert answer.status_code == 302, page
            assert unquote(answer["Location"]) == unquote(f"{reverse('admin:login')}?next={page}")


@every_model
def test_staff_without_permissions_see_no_table(client, model):
    client.force_login(UserFactory(is_staff=True))

    assert client.get(url(model, "changelist")).status_code == 403
