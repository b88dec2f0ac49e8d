"""Rescue, rebuild and passwords of servers: Nova."""

from __future__ import annotations

from typing import Any

from .errors import (
    CloudConflictError,
    CloudPasswordRefusedError,
    CloudServerLockedError,
    InvalidCloudRequestError,
)
from .nova_requests import COMPUTE_MICROVERSION, NovaRequests
from .records.json_values import text
from .validation import validate_id, validate_password

# Rescue of a server that boots from a volume (Ussuri, 2020).
_VOLUME_RESCUE_MICROVERSION = "2.87"
# Rebuild that replaces the content of a boot volume (Zed, 2022).
_VOLUME_REBUILD_MICROVERSION = "2.93"
# RSA with 16,384 bits encrypts to 2,732 characters.
_MAX_ENCRYPTED_PASSWORD = 10_000


class ServerRecovery(NovaRequests):
    """Nova's actions for servers that do not work, or that nobody can log in to.

    Each returns when Nova has accepted it. Every one raises `CloudNotFoundError`, `CloudConflictError` when the server's state does not
    allow it, and `CloudServerLockedError` when it is locked and the caller is no administrator.
    """

    def rescue_server(
        self, server_id: str, *, image_id: str | None = None, is_volume_booted: bool = False
    ) -> None:
        """Boot a server from a rescue image (RESCUE), with its own disk as a second one. For one that is active, stopped or in ERROR.

        Without `image_id`, the image that it was built from. A server that boots from a volume needs an image with the
        properties hw_rescue_device and hw_rescue_bus, and a cloud of Ussuri (2020) or later; else `InvalidCloudRequestError`.
        """
        argument: dict[str, Any] = {}
        if image_id is not None:
            argument["rescue_image_ref"] = validate_id(image_id, "image")
        # The answer holds the rescue system's password (adminPass), which must not be kept.
        self._request_action(
            server_id,
            {"rescue": argument or None},
            f"rescue server {server_id}",
            microversion=_VOLUME_RESCUE_MICROVERSION if is_volume_booted else COMPUTE_MICROVERSION,
        )

    def unrescue_server(self, server_id: str) -> None:
        """Boot a rescued server from its own disk again (ACTIVE, also where it was stopped before)."""
        self._request_action(server_id, {"unrescue": None}, f"end the rescue of server {server_id}")

    def rebuild_server(
        self,
        server_id: str,
        image_id: str,
        *,
        keep_key: bool = True,
        keep_user_data: bool = True,
        replace_boot_volume: bool = False,
    ) -> None:
        """Build a server anew from an image (REBUILD): its disk is overwritten; addresses, volumes, tags and metadata stay.

        For one that is active, stopped or in ERROR; it ends as it was, active or stopped. Without `keep_key` it loses its key
        pair, without `keep_user_data` what cloud-init reads.
        A server that boots from a volume keeps its disk when `image_id` is the volume's own image. Another image, or the same
        one anew, needs `replace_boot_volume` and a cloud of Zed (2022) or later.
        Raises `InvalidCloudRequestError` for an image that does not exist, is not active, or does not fit the flavor.
        """
        argument: dict[str, Any] = {"imageRef": validate_id(image_id, "image")}
        if not keep_key:
            argument["key_name"] = None
        if not keep_user_data:
            argument["user_data"] = None
        # The answer holds the new password (adminPass), which must not be kept.
        self._request_action(
            server_id,
            {"rebuild": argument},
            f"rebuild server {server_id}",
            microversion=_VOLUME_REBUILD_MICROVERSION if replace_boot_volume else COMPUTE_MICROVERSION,
        )

    def change_password(self, server_id: str, password: str) -> None:
        """Set the administrator's password inside a running server, and return when it is set. Safe to repeat.

        Raises `CloudPasswordRefusedError` when the server's operating system cannot take one: without a running guest agent, or
        on a hypervisor that cannot set it.
        """
        action = {"changePassword": {"adminPass": validate_password(password)}}
        doing = f"change the password of server {server_id}"
        refused: CloudConflictError | InvalidCloudRequestError
        try:
            self._request_action(server_id, action, doing, secrets=(password,))
        except CloudServerLockedError:
            raise
        except CloudConflictError as error:
            # A state that does not allow it has the same status; it is named in Nova's fixed form.
            if " while it is in " in error.message or "not ready" in error.message:
                raise
            if "invalid state for" in error.message:
                # Nova's words for a locked server here, where it has others for the other actions.
                raise CloudServerLockedError(
                    f"Could not {doing}: it is locked. It must be unlocked in the cloud first.",
                    status_code=error.status_code,
                    request_id=error.request_id,
                ) from None
            refused = error
        except InvalidCloudRequestError as error:
            if error.status_code != 501:
                raise
            refused = error
        else:
            return
        raise CloudPasswordRefusedError(
            f"{refused.message.rstrip('.')}. The server's operating system needs a running guest agent "
            "(qemu-guest-agent), its image the property hw_qemu_guest_agent=yes, and the hypervisor must be able to set "
            "passwords.",
            status_code=refused.status_code,
            request_id=refused.request_id,
        )

    def get_encrypted_password(self, server_id: str) -> str | None:
        """Return the password that the server has reported (Windows), encrypted with its key pair's RSA key, in base64; or None."""
        path = f"/servers/{validate_id(server_id, 'server')}/os-server-password"
        body = self._call("GET", path, f"read the encrypted password of server {server_id}")
        return text(body.get("password"), _MAX_ENCRYPTED_PASSWORD) if isinstance(body, dict) else None

    def clear_encrypted_password(self, server_id: str) -> None:
        """Delete the reported password from Nova. The server's own password stays. Safe to repeat."""
        path = f"/servers/{validate_id(server_id, 'server')}/os-server-password"
        self._call("DELETE", path, f"clear the encrypted password of server {server_id}")
