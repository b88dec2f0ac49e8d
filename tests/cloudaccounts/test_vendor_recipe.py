"""The vendor of docs/adding-a-vendor.md: its code is taken from the page, and works against a server of its API."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from cloudaccounts import registry
from cloudaccounts.models import CloudAccount, CloudResource, ResourceChange, ResourceType, SyncLog
from cloudaccounts.sync.resources import run_sync, sync_resource
from tenants.scoping import Role
from tests.factories import MembershipFactory
from tests.vms.conftest import AdminClient
from tests.working import work

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "adding-a-vendor.md"
KEY = "a-key-of-cumulus"


class Handler(BaseHTTPRequestHandler):
    """The API of Cumulus. `server.disks` has the disks of the only region."""

    def do_GET(self):
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        after = query.get("after", [""])[0]
        answers = {
            "/regions": {"regions": ["north"]},
            "/north/disks": {"disks": [disk for disk in self.server.disks if str(disk["id"]) > after][:100]},
        }
        status = 403 if self.headers["X-Key"] != KEY else 200 if path in answers else 404
        body = json.dumps(answers.get(path, {}) if status == 200 else {}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        """Write no log."""


@pytest.fixture
def cumulus(settings):
    """The server, with 150 disks."""
    settings.ALLOW_LOCAL_CLOUDS = True
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.disks = [
        {
            "id": f"d-{number:03}",
            "name": f"disk {number}",
            "state": "ready",
            "gb": 10,
            "labels": {"env": "prod"},
        }
        for number in range(150)
    ]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def recipe(transactional_db, tmp_path, monkeypatch):
    """The code of the page as a module: it registers the vendor, which is forgotten afterwards."""
    file = tmp_path / "cumulus_recipe.py"
    file.write_text("\n\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)))
    spec = importlib.util.spec_from_file_location("cumulus_recipe", file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "cumulus_recipe", module)
    spec.loader.exec_module(module)
    registry.write_resource_types()
    yield module
    del registry._providers["cumulus"]
    del registry._syncers["cumulus", "volume"]
    ResourceType.objects.filter(provider="cumulus").delete()


@pytest.fixture
def api(transactional_db):
    """An administrator of a tenant, as a client of the API."""
    return AdminClient(MembershipFactory(role=Role.ADMIN))


def enter(api, cumulus, key=KEY):
    return api.post(
        "/api/v1/cloud-accounts/",
        {
            "name": "clouds",
            "provider": "cumulus",
            "credentials": {"project": "shop", "key": key},
            "endpoint": f"http://127.0.0.1:{cumulus.server_port}",
        },
        format="json",
    )


def test_an_account_is_entered_synced_and_told_of_changes(recipe, cumulus, api):
    offered = {one["code"]: one for one in api.get("/api/v1/providers/").json()}
    assert [field["name"] for field in offered["cumulus"]["credentials"]] == ["project", "key"]
    entered = enter(api, cumulus)
    assert entered.status_code in {201, 202}, entered.json()
    work()
    account = CloudAccount.objects.get()
    assert (account.verification, account.access_id) == ("verified", "shop")

    # The first sync of the account, which a worker would run now.
    first = run_sync(SyncLog.objects.get().pk)
    assert (first.state, first.message, first.created) == ("success", "", 150)
    shown = api.get("/api/v1/cloud-resources/", {"tag": "env:prod", "type": "volume"}).json()
    assert (shown["count"], shown["results"][0]["size_gb"]) == (150, 10)

    cumulus.disks[0]["gb"] = 20
    del cumulus.disks[1]
    cumulus.disks[2]["gb"] = None
    del cumulus.disks[3]["state"]
    assert sync_resource(account.pk, "volume").unreadable == 1
    cumulus.disks[2]["gb"], cumulus.disks[3]["state"] = 10, "ready"
    for _listing in range(2):
        assert sync_resource(account.pk, "volume").state == "success"

    assert CloudResource.objects.present().count() == 149
    changes = {
        change.resource.cloud_id: change for change in ResourceChange.objects.select_related("resource")
    }
    assert changes["d-000"].fields == {"attributes.size_gb": [10, 20]}
    assert changes["d-001"].fields == {"expired": [False, True]}
    assert {change.outside for change in changes.values()} == {True}


def test_a_cloud_that_is_away_is_said_and_nothing_expires(recipe, cumulus, api):
    enter(api, cumulus)
    work()
    run_sync(SyncLog.objects.get().pk)
    cumulus.shutdown()
    cumulus.server_close()

    log = sync_resource(CloudAccount.objects.get().pk, "volume")

    assert (log.state, log.expired, log.missing) == ("failed", 0, 0)
    assert "No answer of Cumulus" in log.message
    assert KEY not in log.message


def test_a_wrong_key_is_said_and_never_shown(recipe, cumulus, api):
    enter(api, cumulus, key="another-key-of-theirs")
    work()

    account = CloudAccount.objects.get()
    log = sync_resource(account.pk, "volume")

    assert log.state == "failed"
    assert "Cumulus refuses the key" in log.message
    shown = api.get(f"/api/v1/cloud-accounts/{account.pk}/")
    assert "another-key-of-theirs" not in shown.content.decode() + log.message
