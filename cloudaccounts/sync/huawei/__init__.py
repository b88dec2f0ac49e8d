"""Huawei Cloud: the provider, and the syncer of each of its types. Importing registers them, and imports no SDK."""

from . import compute, network, provider, services, storage

__all__ = ["compute", "network", "provider", "services", "storage"]
