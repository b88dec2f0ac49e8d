"""A service on hosts, and having it deployed through the pages: what the tests of those pages share."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone

from deploys.models import (
    Deployment,
    Host,
    MicroService,
    MicroServiceInstance,
    MicroServiceVersion,
)
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import InformationSystemFactory

# For tests that work jobs off: a step runs outside of any transaction.
committed = pytest.mark.django_db(transaction=True)

OK = ["/bin/sh", "-c", "echo running=$PORTAL_VERSION"]
BAD = ["/bin/sh", "-c", "echo 'it <burns>'; exit 16"]


def a_service(tenant, *, name="cart", versions=4, hosts=3, **columns):
    """A service whose second version runs on every host; all but the newest version are built."""
    service = MicroService.objects.create(
        information_system=InformationSystemFactory(tenant=tenant, name=f"System of {name}"),
        name=name,
        language="Go",
        folder=f"/srv/{name}",
        port=8080,
        last_number=versions,
        **{"executor": "command", "executor_settings": {"program": "ok"}} | columns,
    )
    made = [
        MicroServiceVersion.objects.create(
            service=service,
            label=f"{name}-1.{number}",
            number=number,
            build_status="failed" if number == versions else "success",
            artifact_url=f"http://artifacts.example.org/{number}",
            sha256="0" * 64,
            built_at=timezone.now(),
        )
        for number in range(1, versions + 1)
    ]
    for number in range(1, hosts + 1):
        host, _made = Host.objects.get_or_create(
            tenant=tenant, hostname=f"app-{number:02}", defaults={"ip": f"127.0.0.{number}"}
        )
        MicroServiceInstance.objects.create(
            service=service, version=made[1], host=host, port=8080, tag="blue", status="running"
        )
    return service


@pytest.fixture
def programs(settings):
    """What the executor may run."""
    settings.DEPLOY_PROGRAMS = {"ok": OK, "bad": BAD}
    settings.ALLOW_LOCAL_HOSTS = True


@pytest.fixture
def service(tenant, programs):
    return a_service(tenant)


@pytest.fixture
def operator(as_role):
    return as_role(Role.OPERATOR)


@pytest.fixture
def viewer(as_role):
    return as_role(Role.VIEWER)


def text(answer):
    return re.sub(r"\s+", " ", answer.content.decode())


def version(service, number):
    return service.versions.get(number=number)


def form_of(service, action="upgrade", number=2):
    return f"/services/{service.pk}/versions/{version(service, number).pk}/{action}/"


def entries(service, **changed):
    """The form with every host ticked, but for what was changed."""
    return {
        "dest_version": str(version(service, 3).pk),
        "which": "ticked",
        "hosts": [str(one.host_id) for one in service.instances.order_by("host__hostname")],
        "batch": "1",
        "pause": "0",
        "max_failures": "0",
        "auto_revert": "true",
    } | changed


def deployed(client, service, **changed):
    """Have it deployed; the deployment."""
    answer = client.post(form_of(service), entries(service, **changed))
    assert answer.status_code == 302, text(answer)
    deployment = Deployment.objects.get(pk=answer["Location"].split("/")[2])
    assert answer["Location"] == f"/deployments/{deployment.pk}/"
    return deployment


def nothing_was_written():
    untouched = not MicroServiceInstance.objects.exclude(locked=False, status="running").exists()
    return untouched and not (Deployment.objects.exists() or Job.objects.exists())


def rows_of(html):
    return re.findall(r"<tr(?: id=[^>]*)?>.*?</tr>", html.partition("<tbody>")[2])


def live(html, panel):
    """Whether a panel refreshes itself as often as something changes."""
    return f'data-panel="{panel}" data-busy' in html
