"""The web pages of the room."""

from .deployments import (
    cancel_deployment_page,
    deployment_detail_page,
    deployment_page,
    item_log_part,
    retry_deployment_page,
)
from .services import service_detail_page, service_page
from .version_change import change_version_page

__all__ = [
    "cancel_deployment_page",
    "change_version_page",
    "deployment_detail_page",
    "deployment_page",
    "item_log_part",
    "retry_deployment_page",
    "service_detail_page",
    "service_page",
]
