"""Services, versions, hosts, instances and deployments over REST."""

from .catalogue import ServiceDetail, ServiceList, VersionDetail, VersionList
from .deployments import (
    DeploymentCancel,
    DeploymentDetail,
    DeploymentItemDetail,
    DeploymentList,
    DeploymentRetry,
    Revert,
    Upgrade,
)
from .hosts import HostDetail, HostKey, HostList
from .instances import InstanceDetail, InstanceHistory, InstanceList

__all__ = [
    "DeploymentCancel",
    "DeploymentDetail",
    "DeploymentItemDetail",
    "DeploymentList",
    "DeploymentRetry",
    "HostDetail",
    "HostKey",
    "HostList",
    "InstanceDetail",
    "InstanceHistory",
    "InstanceList",
    "Revert",
    "ServiceDetail",
    "ServiceList",
    "Upgrade",
    "VersionDetail",
    "VersionList",
]
