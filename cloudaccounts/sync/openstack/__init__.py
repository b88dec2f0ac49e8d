"""OpenStack: the provider, and the syncer of each of its types. Importing registers them."""

from . import compute, images, network, provider, storage

__all__ = ["compute", "images", "network", "provider", "storage"]
