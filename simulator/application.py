"""Request handling from end to end: faults, authentication, dispatch to a service, the request log."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from contextlib import nullcontext
from email.utils import formatdate
from typing import Any

from . import cinder, control, glance, keystone, neutron, nova
from .calls import Call
from .faults import Fault
from .http_messages import HttpError, Request, Response, not_found, service_error
from .http_server import DroppedConnectionError
from .lost_changes import lose_changes
from .state import State

_ACTION_PATH = re.compile(r"/compute/v2\.1/servers/([^/]+)/action$")
_VERSION = re.compile(r"(\d+)\.(\d+)")
_MICROVERSIONS = {"compute": ((2, 1), nova.MAX_VERSION), "volume": (cinder.MIN_VERSION, cinder.MAX_VERSION)}


class Application:
    """The simulated cloud behind HTTP. Each call holds the state's lock, except while it waits."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.base = ""
        self.stopping = threading.Event()
        self._acting: dict[str, int] = {}
        self._acting_guard = threading.Lock()

    def __call__(self, request: Request) -> Response:
        """Answer a request, dated by the cloud's own clock. Raises `DroppedConnectionError`."""
        answer = self._dispatch(request)
        if self.state.quirks.date_header:
            answer.headers.setdefault("Date", formatdate(self.state.clock.now(), usegmt=True))
        return answer

    def _dispatch(self, request: Request) -> Response:
        if request.path.startswith("/_control"):
            with self.state.lock:
                return _catch_http_error(
                    lambda: control.handle(self.state, request, request.path[len("/_control") :])
                )
        region, service, path = self._split_path(request.path)
        number, request_id = self._log_request(request, service, region)
        fault = self._pick_fault(service, request)
        if fault is not None:
            early = self._apply_early_fault(fault, number)
            if early is not None:
                return early
        quirks = self.state.quirks
        listed = quirks.affects_listings and request.method == "GET" and service not in {"", "identity"}
        gone = quirks.rewrite_request(request) if listed else None
        if gone is not None:
            return gone
        lost = fault.kind if fault is not None and fault.kind.startswith("lose_") else ""
        answer = self._execute(
            request, region, service, path, number=number, request_id=request_id, lost=lost
        )
        if listed:
            answer = quirks.rewrite_response(request, answer)
        answer.headers.setdefault("x-openstack-request-id", request_id)
        return answer if fault is None else _corrupt_response(fault, request, answer)

    def _split_path(self, path: str) -> tuple[str, str, str]:
        """Return (region, service, path in the service)."""
        parts = path.split("/", 3)
        if len(parts) > 1 and parts[1] == "identity":
            return "", "identity", path[len("/identity") :]
        if len(parts) > 2 and parts[1] in self.state.regions:
            return parts[1], parts[2], "/" + (parts[3] if len(parts) > 3 else "")
        return "", "", path

    def _log_request(self, request: Request, service: str, region: str) -> tuple[int, str]:
        state = self.state
        with state.lock:
            state.log_number += 1
            number = state.log_number
            # Not from the seeded generator: the ids of resources must not depend on the number of requests.
            request_id = f"req-{uuid.uuid4()}"
            state.log.append(
                {
                    "number": number,
                    "time": time.time(),
                    "method": request.method,
                    "path": request.path,
                    "query": request.query_text,
                    "service": service,
                    "region": region,
                    "request_id": request_id,
                    "project": None,
                    "status": None,
                    "action": None,
                    "object": None,
                    "accepted": False,
                    "fault": None,
                }
            )
        return number, request_id

    def _update_log(self, number: int, **fields: Any) -> None:
        with self.state.lock:
            log = self.state.log
            # Numbers are consecutive, so the position follows from the last entry's number.
            position = number - log[-1]["number"] - 1 if log else 0
            if position < 0 and -position <= len(log) and log[position]["number"] == number:
                log[position].update(fields)

    def _pick_fault(self, service: str, request: Request) -> Fault | None:
        with self.state.lock:
            return self.state.faults.pick(service, request.method, request.path, self.state.chance)

    def _apply_early_fault(self, fault: Fault, number: int) -> Response | None:
        """Apply a fault that acts before the work; return the response that replaces the work, or None."""
        self._update_log(number, fault=fault.kind)
        if fault.kind == "status":
            self._update_log(number, status=fault.status)
            message = {"code": fault.status, "message": "This answer was requested by the control API."}
            return Response(fault.status, {"computeFault": message}, dict(fault.headers))
        if fault.kind == "delay":
            self.stopping.wait(fault.seconds)
            # The log has the time of the work, which comes after everything that the caller did during the delay.
            self._update_log(number, time=time.time())
        elif fault.kind == "hang":
            self.stopping.wait(fault.seconds)
            raise DroppedConnectionError(reset=False)
        elif fault.kind == "reset":
            raise DroppedConnectionError(reset=True)
        return None

    def _execute(
        self,
        request: Request,
        region: str,
        service: str,
        path: str,
        *,
        number: int,
        request_id: str,
        lost: str = "",
    ) -> Response:
        acting = _ACTION_PATH.search(request.path) if request.method == "POST" else None
        server_id = acting[1] if acting else None
        is_concurrent = self._start_acting(server_id)
        call: Call | None = None
        try:
            with self.state.lock:
                base = f"http://{request.headers.get('host', 'localhost')}"
                if service == "identity":
                    answer = _catch_http_error(lambda: keystone.handle(self.state, request, path, base))
                elif service == "":
                    answer = Response(
                        404, {"error": {"code": 404, "message": f"Nothing is at {request.path}."}}
                    )
                else:
                    loses = lost in {"lose_begun", "lose_all"} and region in self.state.regions
                    with (
                        lose_changes(self.state, self.state.regions[region], everything=lost == "lose_all")
                        if loses
                        else nullcontext()
                    ):
                        answer, call = self._call_service(
                            request,
                            region,
                            service,
                            path,
                            base=base,
                            request_id=request_id,
                            is_concurrent=is_concurrent,
                        )
            if server_id is not None and self.state.race_behavior.enabled:
                self.stopping.wait(self.state.race_behavior.window_seconds)
        finally:
            self._end_acting(server_id)
        if call is None:
            self._update_log(number, status=answer.status)
        else:
            self._update_log(
                number,
                status=answer.status,
                project=call.token.project_name,
                action=call.action,
                object=call.object_id,
                accepted=call.accepted,
            )
        return answer

    def _start_acting(self, server_id: str | None) -> bool:
        """Count an action on the server as running, and return whether another one runs."""
        if server_id is None:
            return False
        with self._acting_guard:
            others = self._acting.get(server_id, 0)
            self._acting[server_id] = others + 1
        return others > 0

    def _end_acting(self, server_id: str | None) -> None:
        if server_id is None:
            return
        with self._acting_guard:
            left = self._acting[server_id] - 1
            if left:
                self._acting[server_id] = left
            else:
                del self._acting[server_id]

    def _call_service(
        self,
        request: Request,
        region: str,
        service: str,
        path: str,
        *,
        base: str,
        request_id: str,
        is_concurrent: bool,
    ) -> tuple[Response, Call | None]:
        root = f"{base}/{region}/{service}"
        version = _find_version_document(service, path, root)
        if version is not None:
            return version, None
        calls: list[Call] = []

        def answer() -> Response:
            token = keystone.require_token(self.state, request)
            microversion = _parse_microversion(request, service)
            where = {
                "compute": f"{root}/v2.1",
                "volume": f"{root}/v3/{token.project_id}",
                "network": f"{root}/v2.0",
            }
            call = Call(
                request=request,
                state=self.state,
                region=self.state.regions[region],
                token=token,
                base=where.get(service, root),
                microversion=microversion,
                request_id=request_id,
                is_concurrent=is_concurrent,
            )
            calls.append(call)
            return _route_call(call, service, path)

        found = _catch_http_error(answer)
        if service == "compute" and calls:
            shown = ".".join(map(str, calls[0].microversion))
            found.headers["OpenStack-API-Version"] = f"compute {shown}"
            found.headers["X-OpenStack-Nova-API-Version"] = shown
            found.headers["x-compute-request-id"] = request_id
        return found, calls[0] if calls else None


def _corrupt_response(fault: Fault, request: Request, answer: Response) -> Response:
    """Return the response as the fault changes it. Raises `DroppedConnectionError`."""
    if fault.kind == "lose_answer":
        raise DroppedConnectionError(reset=False)
    if fault.kind == "garbage":
        return Response(answer.status, b"<html>} this is no JSON {", content_type="application/json")
    if fault.kind == "cut":
        answer.is_truncated = True
    if fault.kind == "repeat" and request.method == "GET":
        body = json.loads(answer.payload() or b"null")
        for key, found in body.items() if isinstance(body, dict) else ():
            if isinstance(found, list) and found and not key.endswith("_links"):
                found.append(found[-1])
                answer.body = body
                break
    return answer


def _route_call(call: Call, service: str, path: str) -> Response:
    if service == "compute" and path.startswith("/v2.1/"):
        return nova.ROUTES.dispatch(call, path[len("/v2.1") :])
    # Since Yoga, the project may be left out of Cinder's paths.
    if service == "volume" and (
        match := re.fullmatch(r"/v3/(?!volumes|snapshots|types|os-)([^/]+)(/.*)", path)
    ):
        if match[1] != call.token.project_id and not call.token.is_admin:
            raise service_error(400, "badRequest", "Malformed request url")
        return cinder.answer(call, match[2])
    if service == "volume" and path.startswith("/v3/"):
        return cinder.answer(call, path[len("/v3") :])
    if service == "image" and path.startswith("/v2/"):
        return glance.ROUTES.dispatch(call, path[len("/v2") :])
    if service == "network" and path.startswith("/v2.0/"):
        return neutron.ROUTES.dispatch(call, path[len("/v2.0") :].removesuffix(".json"))
    raise not_found("The resource could not be found.")


def _find_version_document(service: str, path: str, root: str) -> Response | None:
    """Return the version document of a service, which needs no token; None for any other path."""
    path = path.rstrip("/")
    if service == "compute" and path == "":
        return Response(200, {"versions": [nova.version_document(f"{root}/v2.1")]})
    if service == "compute" and path == "/v2.1":
        return Response(200, {"version": nova.version_document(f"{root}/v2.1")})
    if service == "volume" and path in {"", "/v3"}:
        return Response(300 if not path else 200, {"versions": [cinder.version_document(root)]})
    if service == "image" and path in {"", "/versions"}:
        return Response(300 if not path else 200, glance.version_document(root))
    if service == "network" and path == "":
        return Response(200, neutron.version_document(root))
    return None


def _parse_microversion(request: Request, service: str) -> tuple[int, int]:
    """Return the microversion of the request's headers. Raises `HttpError` 406 for an unsupported one."""
    if service not in _MICROVERSIONS:
        return (0, 0)
    minimum, maximum = _MICROVERSIONS[service]
    text = ""
    for part in request.headers.get("openstack-api-version", "").split(","):
        name, _, value = part.strip().partition(" ")
        if name == service:
            text = value
    if service == "compute" and not text:
        text = request.headers.get("x-openstack-nova-api-version", "")
    if not text:
        return minimum
    if text == "latest":
        return maximum
    match = _VERSION.fullmatch(text)
    if match is None:
        raise service_error(
            400,
            "badRequest",
            f"API Version String {text} is of invalid format. Must be of format MajorNum.MinorNum.",
        )
    version = (int(match[1]), int(match[2]))
    if not minimum <= version <= maximum:
        raise service_error(
            406,
            "computeFault",
            f"Version {text} is not supported by the API. Minimum is {_format_version(minimum)} and maximum is {_format_version(maximum)}.",
        )
    return version


def _format_version(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _catch_http_error(work: Any) -> Response:
    try:
        found = work()
    except HttpError as refused:
        return refused.answer
    assert isinstance(found, Response)
    return found
