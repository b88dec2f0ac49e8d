"""Actions on an existing server: power, pause, shelve, resize, image, console, history."""

from __future__ import annotations

from collections.abc import Mapping

from .errors import InvalidCloudRequestError
from .nova_requests import NovaRequests, unwrap_list, unwrap_object
from .paging import read_records
from .records import ServerAction, ServerEvent
from .records.json_values import is_id
from .translation import malformed_answer, state_conflict
from .validation import validate_id, validate_lines, validate_name, validate_properties

# A longer log is cut at its beginning: people look for its end.
MAX_CONSOLE_CHARACTERS = 1_000_000
_MAX_URL = 2000


class ServerActions(NovaRequests):
    """Nova's actions. Each returns when Nova has accepted it; the server reaches its new state later, or ends in ERROR.

    Every action raises `CloudNotFoundError`, and `CloudConflictError` when the server's state does not allow it: also when the
    server is in the requested state already, and while another action is in progress (`task_state`).
    """

    def start_server(self, server_id: str) -> None:
        """Start a stopped server (SHUTOFF)."""
        self._request_action(server_id, {"os-start": None}, f"start server {server_id}")

    def stop_server(self, server_id: str) -> None:
        """Stop a running server: its operating system is shut down, or powered off after a timeout."""
        self._request_action(server_id, {"os-stop": None}, f"stop server {server_id}")

    def reboot_server(self, server_id: str, *, hard: bool) -> None:
        """Reboot a server: a soft reboot shuts its operating system down, a hard one powers it off and on."""
        action = {"reboot": {"type": "HARD" if hard else "SOFT"}}
        self._request_action(server_id, action, f"reboot server {server_id}")

    def pause_server(self, server_id: str) -> None:
        """Pause a running server in its host's memory (PAUSED)."""
        self._request_action(server_id, {"pause": None}, f"pause server {server_id}")

    def unpause_server(self, server_id: str) -> None:
        """Resume a paused server."""
        self._request_action(server_id, {"unpause": None}, f"unpause server {server_id}")

    def suspend_server(self, server_id: str) -> None:
        """Write a running server's memory to its host's disk and free it (SUSPENDED)."""
        self._request_action(server_id, {"suspend": None}, f"suspend server {server_id}")

    def resume_server(self, server_id: str) -> None:
        """Resume a suspended server."""
        self._request_action(server_id, {"resume": None}, f"resume server {server_id}")

    def shelve_server(self, server_id: str) -> None:
        """Shelve a server: stop it, save its disk as an image, and free its host (SHELVED, then SHELVED_OFFLOADED)."""
        self._request_action(server_id, {"shelve": None}, f"shelve server {server_id}")

    def unshelve_server(self, server_id: str) -> None:
        """Start a shelved server again, on any host with enough resources.

        It ends in ERROR when the image "<name>-shelved" was deleted in the meantime.
        """
        self._request_action(server_id, {"unshelve": None}, f"unshelve server {server_id}")

    def resize_server(self, server_id: str, flavor_id: str) -> None:
        """Resize a server to another flavor. It ends in VERIFY_RESIZE, with the new flavor, to be confirmed or reverted.

        Raises `CloudQuotaExceededError` with the cloud's figures, and `InvalidCloudRequestError` for a flavor that does not
        exist, is the present one, or has too small a disk.
        """
        action = {"resize": {"flavorRef": validate_id(flavor_id, "flavor")}}
        self._request_action(server_id, action, f"resize server {server_id}")

    def confirm_resize(self, server_id: str) -> None:
        """Keep the new flavor and release the old one's resources.

        Until then, Nova shows VERIFY_RESIZE without a task and answers a second confirmation with 400, which is a
        `CloudConflictError`, too.
        """
        self._finish_resize(server_id, "confirmResize", "confirm the resize")

    def revert_resize(self, server_id: str) -> None:
        """Return to the old flavor (REVERT_RESIZE, then the former status)."""
        self._finish_resize(server_id, "revertResize", "revert the resize")

    def create_image(self, server_id: str, *, name: str, metadata: Mapping[str, str]) -> str:
        """Create an image of a server's disk; return the image's id. Not safe to repeat: look for `metadata` first.

        `metadata` becomes properties of the image. The image exists at once, and is "active" once its data is uploaded; it
        is deleted when the server is deleted before that. For a server that boots from a volume, the image is active at
        once and empty, Cinder creates a snapshot of each volume, and the server shows no task.
        Raises `CloudQuotaExceededError`, `InvalidCloudRequestError`.
        """
        payload = {"name": validate_name(name, "image"), "metadata": validate_properties(metadata)}
        body = self._request_action(
            server_id, {"createImage": payload}, f"create an image of server {server_id}"
        )
        image_id = body.get("image_id") if isinstance(body, dict) else None
        if not isinstance(image_id, str) or not is_id(image_id):
            raise malformed_answer("it holds no image_id")
        return image_id

    def create_console_url(self, server_id: str) -> str:
        """Create a noVNC console of the server and return its URL, which gives anyone access for some minutes.

        Raises `InvalidCloudRequestError` when the cloud does not have that kind of console, and `CloudConflictError` while the server
        is on no host.
        """
        path = f"/servers/{validate_id(server_id, 'server')}/remote-consoles"
        payload = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
        body = self._call("POST", path, f"open a console of server {server_id}", json=payload)
        url = unwrap_object(body, "remote_console").get("url")
        if not isinstance(url, str) or not url or len(url) > _MAX_URL:
            raise malformed_answer("it holds no console URL")
        return url

    def get_console_output(self, server_id: str, lines: int) -> str:
        """Return the last `lines` lines (at least 1) that the server's operating system wrote to its serial console, or ""."""
        payload = {"os-getConsoleOutput": {"length": validate_lines(lines)}}
        body = self._request_action(server_id, payload, f"read the console of server {server_id}")
        output = body.get("output") if isinstance(body, dict) else None
        return output[-MAX_CONSOLE_CHARACTERS:] if isinstance(output, str) else ""

    def list_server_actions(self, server_id: str) -> list[ServerAction]:
        """List the actions on the server, newest first. They show whether a request was carried out before a crash."""
        path = f"/servers/{validate_id(server_id, 'server')}/os-instance-actions"
        body = self._call("GET", path, f"read the actions of server {server_id}")
        return read_records(unwrap_list(body, "instanceActions"), ServerAction.from_json)

    def list_action_events(self, server_id: str, request_id: str) -> list[ServerEvent]:
        """List the events of one action on Nova's services; [] while no service has begun it.

        Raises `CloudNotFoundError` for an unknown action.
        """
        request = validate_id(request_id, "request")
        path = f"/servers/{validate_id(server_id, 'server')}/os-instance-actions/{request}"
        body = self._call("GET", path, f"read an action of server {server_id}")
        events = unwrap_object(body, "instanceAction").get("events")
        return read_records(events, ServerEvent.from_json) if isinstance(events, list) else []

    def force_delete_server(self, server_id: str) -> None:
        """Request the deletion of a server, also where Nova would keep it as SOFT_DELETED for a while.

        Raises `CloudNotFoundError`, `CloudForbiddenError` where the cloud's policy allows this only to administrators, and `CloudConflictError`.
        """
        self._request_action(server_id, {"forceDelete": None}, f"delete server {server_id} for good")

    def _finish_resize(self, server_id: str, action: str, doing: str) -> None:
        try:
            self._request_action(server_id, {action: None}, f"{doing} of server {server_id}")
        except InvalidCloudRequestError as refused:
            raise state_conflict(refused) from None
