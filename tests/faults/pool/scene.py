"""Three pools, three tenants, and somebody who meddles: what a campaign begins with."""

from __future__ import annotations

from random import Random

from cloudaccounts.models import CloudResource
from tests.catalogue import sync_catalogue
from tests.simulated import SimulatedCloud
from volumepool.models import VolumePool

from .meddling import GOLDEN, Meddler
from .people import People, Tenant
from .stage import REGION


def people_and_meddler(cloud: SimulatedCloud, seed: int, claims: int) -> tuple[People, Meddler]:
    """An account whose catalogue is known, with a pool of empty volumes, one of an image and one of a snapshot."""
    account = cloud.account()
    sync_catalogue(account)
    images = CloudResource.objects.present().filter(account=account, type="image")
    ubuntu = next(image for image in images.order_by("-name") if "ubuntu" in image.name.lower())
    common = {"account": account, "region": REGION, "max_in_flight": 12}
    VolumePool.objects.create(**common, type="data", size_gb=2, desired=12)
    VolumePool.objects.create(**common, type="ubuntu", size_gb=40, desired=8, image_id=ubuntu.cloud_id)
    VolumePool.objects.create(**common, type="igw", size_gb=20, desired=8, snapshot_prefix=GOLDEN)
    meddler = Meddler(cloud, account, Random(seed + 2))
    meddler.new_golden()
    return People(cloud, Random(seed), claims, [Tenant.new() for _ in range(3)]), meddler
