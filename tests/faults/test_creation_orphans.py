"""Objects that carry our mark and belong to no row are found and removed; those in creation and those of others never."""

from __future__ import annotations

import uuid

import pytest
from django.conf import settings as portal_settings

from cloudaccounts.connect import open_cloud
from cloudaccounts.placements import Placement
from openstack_client import ServerNetwork
from tasks.models import Job, JobStatus
from tests.stories import ALL
from vms.catalogue import Catalogue
from vms.commands.orphans import RemoveOrphanCommand
from vms.models import Orphan
from vms.services.orphans import remove_orphan, sweep_orphans
from vms.sync import orphans
from vms.sync.orphans import sweep_region
from vms.sync.regions import select_known_regions

from .creation.stage import Stage
from .creation.stories import STORIES, StoryRun
from .killable_worker import killable_worker

pytestmark = pytest.mark.django_db(transaction=True)

REGION = "RegionOne"
HOURS = 3600.0


@pytest.fixture
def stage(cloud, account):
    stage = Stage.of(cloud, account)
    stage.clear()
    return stage


@pytest.fixture
def worker():
    """The worker that advances every job of the test."""
    with killable_worker() as worker:
        yield worker


def create_server(stage, *, tags=None, row=None, hours_ago=3.0):
    """Create a server in the cloud that is this many hours old, and return its id."""
    stage.cloud.clock(advance_seconds=-hours_ago * HOURS)
    offered = Catalogue(Placement(stage.account, REGION), stage.system)
    compute = open_cloud(stage.account, REGION).compute
    try:
        return compute.create_server(
            name="by-hand",
            flavor_id=offered.find_smallest_flavor(2, 4, 40).cloud_id,
            networks=[ServerNetwork(offered.networks()[0].cloud_id)],
            image_id=offered.images()[0].cloud_id,
            tags=[portal_settings.CLOUD_TAG, f"portal-vm-{row or uuid.uuid4()}"] if tags is None else tags,
        ).id
    finally:
        stage.cloud.clock(advance_seconds=hours_ago * HOURS)


def create_volume(stage, *, metadata=None, hours_ago=3.0):
    """Create a volume in the cloud that is this many hours old, and return its id."""
    mark = {"portal": portal_settings.CLOUD_TAG, "portal_volume": str(uuid.uuid4())}
    stage.cloud.clock(advance_seconds=-hours_ago * HOURS)
    try:
        cinder = open_cloud(stage.account, REGION).block_storage
        return cinder.create_volume(
            name="by-hand", size_gb=1, metadata=mark if metadata is None else metadata
        ).id
    finally:
        stage.cloud.clock(advance_seconds=hours_ago * HOURS)


def list_reported():
    return set(Orphan.objects.exclude(reported_at=None).values_list("cloud_id", flat=True))


@pytest.mark.parametrize("make", [create_server, create_volume], ids=["server", "volume"])
def test_it_is_reported_when_it_was_seen_twice_and_is_old(stage, make):
    orphan = make(stage)

    assert sweep_region(stage.account.pk, REGION) == []
    assert list_reported() == set(), "one sighting is not enough"
    sweep_region(stage.account.pk, REGION)
    assert list_reported() == {orphan}


@pytest.mark.parametrize("make", [create_server, create_volume], ids=["server", "volume"])
def test_it_is_not_reported_while_it_may_still_get_its_row(stage, make):
    make(stage, hours_ago=1.9)

    for _ in range(5):
        sweep_region(stage.account.pk, REGION)

    assert list_reported() == set()


def test_a_sweep_that_fails_reports_and_forgets_nothing(stage):
    found = {create_server(stage), create_volume(stage)}
    sweep_region(stage.account.pk, REGION)

    for path in ("/servers/detail$", "/volumes/detail$"):
        stage.cloud.faults({"kind": "status", "status": 503, "path": path})
        assert sweep_region(stage.account.pk, REGION) == []
        stage.cloud.no_faults()
        assert list_reported() == set()
        assert Orphan.objects.count() == 2
    sweep_region(stage.account.pk, REGION)
    assert list_reported() == found


@pytest.mark.story
@pytest.mark.parametrize(
    "story",
    [story for story in STORIES if ALL or story.name == "create with a volume"],
    ids=lambda story: story.name.replace(" ", "-"),
)
def test_nothing_that_is_being_made_or_removed_is_ever_an_orphan(stage, worker, story, monkeypatch, settings):
    """Whenever the sweep runs, every object that a job has created has its row."""
    settings.ORPHANS_REMOVE = True
    monkeypatch.setattr(orphans, "LONGEST_CREATION", orphans.timedelta(hours=-1))
    run = StoryRun(story, stage, worker).prepare()
    sweeps = []

    def sweep(*_place):
        sweeps.extend(sweep_region(stage.account.pk, REGION) for _ in range(2))

    worker.on_point = sweep
    run.act()
    worker.run_rounds(80)

    assert len(sweeps) > 10
    assert not any(sweeps)
    assert list_reported() == set()
    assert run.finish() == []


@pytest.mark.parametrize("make", [create_server, create_volume], ids=["server", "volume"])
def test_with_the_setting_it_is_removed(stage, worker, make, settings):
    settings.ORPHANS_REMOVE = True
    make(stage)
    vm = stage.create_vm(worker, boot_volume=True)

    for _ in range(2):
        sweep_orphans(stage.account.pk, REGION)
    worker.settle()

    (job,) = Job.objects.filter(kind=RemoveOrphanCommand.kind)
    assert job.status == JobStatus.SUCCEEDED
    assert not Orphan.objects.exists()
    assert stage.find_violations() == {}
    vm.refresh_from_db()


def test_without_the_setting_it_stays(stage, worker):
    orphan = create_server(stage)

    for _ in range(3):
        sweep_orphans(stage.account.pk, REGION)
    worker.settle()

    assert [one["id"] for one in stage.list_new_servers()] == [orphan]


def test_what_belongs_to_others_is_nobodys_orphan(stage, worker, settings):
    settings.ORPHANS_REMOVE = True
    others = {
        create_server(stage, tags=["web"]),
        create_server(stage, tags=["portals", f"portal-vm-{uuid.uuid4()}"]),
        create_server(stage, tags=[f"portal-vm-{uuid.uuid4()}"]),
        *stage.cloud.seed(2),
    }
    create_volume(stage, metadata={})
    create_volume(stage, metadata={"portal": "another", "portal_volume": str(uuid.uuid4())})

    for _ in range(3):
        sweep_orphans(stage.account.pk, REGION)
    worker.settle()

    assert not Orphan.objects.exists()
    assert others == {one["id"] for one in stage.list_new_servers()}


def test_a_sweep_while_an_orphan_is_being_removed_does_not_disturb_that(stage, worker):
    """The server is gone from the listing before its job has polled again."""
    orphan = create_server(stage)
    for _ in range(2):
        sweep_region(stage.account.pk, REGION)
    job = remove_orphan(orphan_id=Orphan.objects.get().pk, user=None)
    worker.run_round()  # It is asked for, and waits.

    sweep_region(stage.account.pk, REGION)
    worker.settle()

    job.refresh_from_db()
    assert job.status == JobStatus.SUCCEEDED, job.traceback
    assert orphan not in {one["id"] for one in stage.list_new_servers()}
    assert not Orphan.objects.exists()


def test_an_account_whose_first_creation_was_lost_is_swept_too(stage, worker):
    """Only the lost server remains: there is no VM, and no sync has ever run."""
    stage.cloud.call("POST", "failing_builds", {"times": 1})
    stage.request_vm()
    worker.settle()

    assert (stage.account.pk, REGION) in select_known_regions()
