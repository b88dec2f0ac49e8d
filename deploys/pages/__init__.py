"""The web pages of the room."""

from .deployment_watch import deployment_detail_page, item_log_download
from .deployments import cancel_deployment_page, deployment_page, retry_deployment_page
from .host_forms import edit_host_page, new_host_page, remove_host_page
from .hosts import host_detail_page, host_page
from .instance_forms import (
    edit_instance_page,
    maintain_instance_page,
    new_instances_page,
    remove_instance_page,
)
from .keys import deploy_key_page, new_deploy_key_page, remove_deploy_key_page
from .service_forms import edit_service_page, new_service_page, remove_service_page
from .service_tabs import (
    service_deployments_page,
    service_detail_page,
    service_settings_page,
    service_versions_page,
)
from .services import service_page
from .version_change import change_version_page
from .version_forms import edit_version_page, new_version_page, remove_version_page

__all__ = [
    "cancel_deployment_page",
    "change_version_page",
    "deploy_key_page",
    "deployment_detail_page",
    "deployment_page",
    "edit_host_page",
    "edit_instance_page",
    "edit_service_page",
    "edit_version_page",
    "host_detail_page",
    "host_page",
    "item_log_download",
    "maintain_instance_page",
    "new_deploy_key_page",
    "new_host_page",
    "new_instances_page",
    "new_service_page",
    "new_version_page",
    "remove_deploy_key_page",
    "remove_host_page",
    "remove_instance_page",
    "remove_service_page",
    "remove_version_page",
    "retry_deployment_page",
    "service_deployments_page",
    "service_detail_page",
    "service_page",
    "service_settings_page",
    "service_versions_page",
]
