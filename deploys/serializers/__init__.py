"""Services, versions, hosts, instances and deployments as the API shows and takes them."""

from .catalogue import ChangeVersionSerializer, ServiceSerializer, VersionSerializer
from .deployments import (
    CandidateSerializer,
    DeploymentAcceptedSerializer,
    DeploymentCancelledSerializer,
    DeploymentDetailSerializer,
    DeploymentItemDetailSerializer,
    DeploymentItemSerializer,
    DeploymentSerializer,
    DeployParamsSerializer,
    HistorySerializer,
    NothingSerializer,
    PlanSerializer,
)
from .hosts import DeployKeySerializer, HostSerializer, NewKeySerializer
from .instances import ChangeInstanceSerializer, InstanceSerializer, NewInstanceSerializer

__all__ = [
    "CandidateSerializer",
    "ChangeInstanceSerializer",
    "ChangeVersionSerializer",
    "DeployKeySerializer",
    "DeployParamsSerializer",
    "DeploymentAcceptedSerializer",
    "DeploymentCancelledSerializer",
    "DeploymentDetailSerializer",
    "DeploymentItemDetailSerializer",
    "DeploymentItemSerializer",
    "DeploymentSerializer",
    "HistorySerializer",
    "HostSerializer",
    "InstanceSerializer",
    "NewInstanceSerializer",
    "NewKeySerializer",
    "NothingSerializer",
    "PlanSerializer",
    "ServiceSerializer",
    "VersionSerializer",
]
