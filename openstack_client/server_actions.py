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

# People look for the end of a console's log.
MAX_CONSOLE_CHARACTERS = 1_000_000
_MAX_URL = 2000
# Nova wants both words, and only these pairs make sense.
_CONSOLE_PROTOCOLS = {
    "novnc": "vnc",
    "spice-html5": "spice",
    "rdp-html5": "rdp",
    "serial": "serial",
    "webmks": "mks",
}


class ServerActions(NovaRequests):
    """Nova's actions. Each returns when Nova has accepted it; the server gets there later, or ends in ERROR.

    Every one raises `CloudNotFoundError`, and `CloudConflictError` when the server's state does not allow it: also when it is already so,
    and while another action is under way (`task_state`).
    """

    def start_server(self, server_id: str) -> None:
        """Start a stopped server (SHUTOFF)."""
        self._act(server_id, {"os-start": None}, f"start server {server_id}")

    def stop_server(self, server_id: str) -> None:
        """Stop a running server: its system is asked to shut down, and switched off when it does not."""
        self._act(server_id, {"os-stop": None}, f"stop server {server_id}")

    def reboot_server(self, server_id: str, *, hard: bool) -> None:
        """Restart a server: softly asks its system to, hard switches it off and on."""
        action = {"reboot": {"type": "HARD" if hard else "SOFT"}}
        self._act(server_id, action, f"reboot server {server_id}")

    def pause_server(self, server_id: str) -> None:
        """Pause a running server in its host's memory (PAUSED)."""
        self._act(server_id, {"pause": None}, f"pause server {server_id}")

    def unpause_server(self, server_id: str) -> None:
        """Let a paused server go on."""
        self._act(server_id, {"unpause": None}, f"unpause server {server_id}")

    def suspend_server(self, server_id: str) -> None:
        """Write a running server's memory to its host's disk and free it (SUSPENDED)."""
        self._act(server_id, {"suspend": None}, f"suspend server {server_id}")

    def resume_server(self, server_id: str) -> None:
        """Let a suspended server go on."""
        self._act(server_id, {"resume": None}, f"resume server {server_id}")

    def shelve_server(self, server_id: str) -> None:
        """Put a server away: stopped, its disk kept as an image, and off its host (SHELVED, then SHELVED_OFFLOADED)."""
        self._act(server_id, {"shelve": None}, f"shelve server {server_id}")

    def unshelve_server(self, server_id: str) -> None:
        """Bring a shelved server back, running; on any host that has room.

        It ends in ERROR when somebody has removed the image "<name>-shelved" meanwhile.
        """
        self._act(server_id, {"unshelve": None}, f"unshelve server {server_id}")

    def resize_server(self, server_id: str, flavor_id: str) -> None:
        """Give a server another flavor. It ends as VERIFY_RESIZE, on the new flavor, to be confirmed or reverted.

        Raises `CloudQuotaExceededError` with the cloud's figures, and `InvalidCloudRequestError` for a flavor that is not there, is the
        same, or has too small a disk.
        """
        action = {"resize": {"flavorRef": validate_id(flavor_id, "flavor")}}
        self._act(server_id, action, f"resize server {server_id}")

    def confirm_resize(self, server_id: str) -> None:
        """Keep the new flavor and release the old one's resources.

        Nova goes on showing VERIFY_RESIZE without a task until it has done so, and answers a second confirmation in
        that time with 400: a `CloudConflictError` too.
        """
        self._end_resize(server_id, "confirmResize", "confirm the resize")

    def revert_resize(self, server_id: str) -> None:
        """Return to the old flavor (REVERT_RESIZE, then the former status)."""
        self._end_resize(server_id, "revertResize", "revert the resize")

    def create_image(self, server_id: str, *, name: str, metadata: Mapping[str, str]) -> str:
        """Make an image of a server's disk; the answer is the image's id. Not safe to repeat: look for `metadata` first.

        `metadata` becomes properties of the image. The image is there at once, and "active" once its bytes are; it is
        gone when the server is removed before that. Of a server that boots from a volume, it is active at once and empty,
        and Cinder makes a snapshot of each volume; the server shows no task.
        Raises `CloudQuotaExceededError`, `InvalidCloudRequestError`.
        """
        payload = {"name": validate_name(name, "image"), "metadata": validate_properties(metadata)}
        body = self._act(server_id, {"createImage": payload}, f"make an image of server {server_id}")
        image_id = body.get("image_id") if isinstance(body, dict) else None
        if not isinstance(image_id, str) or not is_id(image_id):
            raise malformed_answer("it holds no image_id")
        return image_id

    def console_url(self, server_id: str, kind: str = "novnc") -> str:
        """Return the URL of the server's console. It holds a secret that grants access to anyone for some minutes.

        `kind` is "novnc", "spice-html5", "rdp-html5", "serial" or "webmks". Raises `InvalidCloudRequestError` when the cloud does
        not have that kind, and `CloudConflictError` while the server is on no host.
        """
        protocol = _CONSOLE_PROTOCOLS.get(kind)
        if protocol is None:
            raise InvalidCloudRequestError(
                f"{kind!r:.40} is no kind of console; there are {', '.join(_CONSOLE_PROTOCOLS)}."
            )
        path = f"/servers/{validate_id(server_id, 'server')}/remote-consoles"
        payload = {"remote_console": {"protocol": protocol, "type": kind}}
        body = self._call("POST", path, f"open a console of server {server_id}", json=payload)
        url = unwrap_object(body, "remote_console").get("url")
        if not isinstance(url, str) or not url or len(url) > _MAX_URL:
            raise malformed_answer("it holds no address of a console")
        return url

    def console_output(self, server_id: str, lines: int) -> str:
        """Return the last `lines` lines (at least 1) that the server's system wrote to its serial console, or ""."""
        payload = {"os-getConsoleOutput": {"length": validate_lines(lines)}}
        body = self._act(server_id, payload, f"read the console of server {server_id}")
        output = body.get("output") if isinstance(body, dict) else None
        return output[-MAX_CONSOLE_CHARACTERS:] if isinstance(output, str) else ""

    def list_server_actions(self, server_id: str) -> list[ServerAction]:
        """List the actions on the server, newest first: by them a crashed restart learns whether it was carried out."""
        path = f"/servers/{validate_id(server_id, 'server')}/os-instance-actions"
        body = self._call("GET", path, f"read the actions of server {server_id}")
        return read_records(unwrap_list(body, "instanceActions"), ServerAction.from_json)

    def list_action_events(self, server_id: str, request_id: str) -> list[ServerEvent]:
        """List the events of one action on Nova's services; [] while its message has not reached any.

        Raises `CloudNotFoundError` for an action that Nova has no record of.
        """
        request = validate_id(request_id, "request")
        path = f"/servers/{validate_id(server_id, 'server')}/os-instance-actions/{request}"
        body = self._call("GET", path, f"read an action of server {server_id}")
        events = unwrap_object(body, "instanceAction").get("events")
        return read_records(events, ServerEvent.from_json) if isinstance(events, list) else []

    def force_delete_server(self, server_id: str) -> None:
        """Ask for the end of a server, also where Nova would keep it as SOFT_DELETED for a while.

        Raises `CloudNotFoundError`, `CloudForbiddenError` where the cloud's policy leaves this to administrators, and `CloudConflictError`.
        """
        self._act(server_id, {"forceDelete": None}, f"delete server {server_id} for good")

    def _end_resize(self, server_id: str, action: str, doing: str) -> None:
        try:
            self._act(server_id, {action: None}, f"{doing} of server {server_id}")
        except InvalidCloudRequestError as refused:
            raise state_conflict(refused) from None
