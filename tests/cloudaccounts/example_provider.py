"""A minimal second provider, whose cloud is a dictionary."""

from __future__ import annotations

from contextlib import contextmanager

from cloudaccounts import registry
from cloudaccounts.models import ResourceType
from cloudaccounts.registry import Link, ListedResource, Provider, Syncer


class Nimbus:
    """The cloud: pages of resources by region and type, or an exception in place of a page."""

    def __init__(self):
        self.pages = {"north": {"disk": [], "machine": []}}
        self.secret = "nimbus"
        self.refusal = "Nimbus does not know this key."
        # Called before each page, with the type and the page's number.
        self.on_page = lambda type_code, number: None

    def put(self, type_code, *pages, region="north"):
        self.pages.setdefault(region, {})[type_code] = list(pages)


class NimbusError(Exception):
    """An error of the cloud."""


CLOUD = Nimbus()


class ExampleProvider(Provider):
    code = "nimbus"
    label = "Nimbus"
    errors = (NimbusError,)

    def list_regions(self, account):
        return list(account.regions) or list(CLOUD.pages)

    def open_client(self, account, region):
        if account.decrypt_secret() != CLOUD.secret:
            raise NimbusError(CLOUD.refusal)
        return CLOUD.pages[region]

    def verify(self, account):
        for region in self.list_regions(account):
            self.open_client(account, region)
        return {"project_id": account.project, "regions": {region: ["disks"] for region in CLOUD.pages}}


class _Syncer(Syncer):
    provider = "nimbus"

    def list_pages(self, client):
        for number, page in enumerate(client[self.type], start=1):
            CLOUD.on_page(self.type, number)
            if isinstance(page, Exception):
                raise page
            yield page


class DiskSyncer(_Syncer):
    type, label, order = "disk", "disk", 10


class MachineSyncer(_Syncer):
    type, label, order, expires_after = "machine", "machine", 20, 1


@contextmanager
def example_provider():
    """Register the provider and its types during the block; yield its empty cloud."""
    CLOUD.__init__()
    registry.register_provider(ExampleProvider)
    for syncer in (DiskSyncer, MachineSyncer):
        registry.register_syncer(syncer)
    registry.write_resource_types()
    try:
        yield CLOUD
    finally:
        del registry._providers["nimbus"]
        for syncer in (DiskSyncer, MachineSyncer):
            del registry._syncers["nimbus", syncer.type]
        ResourceType.objects.filter(provider="nimbus").delete()


def disk(name, *, cloud_id=None, status="ready", **attributes):
    return ListedResource(cloud_id or f"d-{name}", name, status, attributes)


def machine(name, *disks, status="up", addresses=(), **attributes):
    links = tuple(Link("disk", f"d-{one}") for one in disks)
    return ListedResource(f"m-{name}", name, status, attributes, tuple(addresses), links)
