"""The REST views of services, versions, hosts, instances and deployments."""

from .catalogue import ServiceDetailView, ServiceListView, VersionDetailView, VersionListView
from .deployments import (
    DeploymentCancelView,
    DeploymentDetailView,
    DeploymentItemDetailView,
    DeploymentListView,
    DeploymentRetryView,
    RevertView,
    UpgradeView,
)
from .hosts import HostDetailView, HostKeyView, HostListView
from .instances import InstanceDetailView, InstanceHistoryView, InstanceListView

__all__ = [
    "DeploymentCancelView",
    "DeploymentDetailView",
    "DeploymentItemDetailView",
    "DeploymentListView",
    "DeploymentRetryView",
    "HostDetailView",
    "HostKeyView",
    "HostListView",
    "InstanceDetailView",
    "InstanceHistoryView",
    "InstanceListView",
    "RevertView",
    "ServiceDetailView",
    "ServiceListView",
    "UpgradeView",
    "VersionDetailView",
    "VersionListView",
]
