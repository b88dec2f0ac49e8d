"""Serializers of services, versions, hosts, instances and deployments."""

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
    EmptySerializer,
    HistorySerializer,
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
    "EmptySerializer",
    "HistorySerializer",
    "HostSerializer",
    "InstanceSerializer",
    "NewInstanceSerializer",
    "NewKeySerializer",
    "PlanSerializer",
    "ServiceSerializer",
    "VersionSerializer",
]
