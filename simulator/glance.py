"""Glance: image records; the data of images is counted and dropped."""

from __future__ import annotations

from operator import itemgetter

from .calls import Call
from .clock import format_zulu
from .http_messages import HttpError, Response
from .pagination import paginate, serialize
from .routes import Routes
from .state import Resource
from .transitions import advance_images


def version_document(base: str) -> Resource:
    """Return the version document that clients read first."""
    link = [{"rel": "self", "href": f"{base}/v2/"}]
    return {
        "versions": [
            {"id": "v2.15", "status": "CURRENT", "links": link},
            {"id": "v2.0", "status": "SUPPORTED", "links": link},
        ]
    }


# Parameters of a query that are no fields of an image.
_PAGING_PARAMETERS = {
    "limit",
    "marker",
    "sort",
    "sort_key",
    "sort_dir",
    "member_status",
    "size_min",
    "size_max",
    "tag",
}


def _list_visible(call: Call) -> list[Resource]:
    advance_images(call.region, call.now)
    project_id, is_admin = call.token.project_id, call.token.is_admin
    return [
        image
        for image in call.region.images.values()
        if is_admin or image["owner"] == project_id or image["visibility"] == "public"
    ]


def _find_image(call: Call, image_id: str) -> Resource:
    found = next((image for image in _list_visible(call) if image["id"] == image_id), None)
    if found is None:
        # Glance answers this in HTML.
        page = f"<html><head><title>404 Not Found</title></head><body>No image found with ID {image_id}</body></html>"
        raise HttpError(Response(404, page.encode(), content_type="text/html; charset=UTF-8"))
    return found


def list_images(call: Call) -> Response:
    """List images, newest first. A parameter that is not a paging parameter filters by the field or property of that name."""
    query = dict(call.query())
    is_hidden = query.pop("os_hidden", "false").lower() == "true"
    found = [image for image in _list_visible(call) if image.get("os_hidden", False) is is_hidden]
    for key, value in query.items():
        if key not in _PAGING_PARAMETERS:
            found = [image for image in found if _format_filter_value(image.get(key)) == value]
    if "tag" in query:
        found = [image for image in found if query["tag"] in image["tags"]]
    found.sort(key=itemgetter("created_at", "id"), reverse=True)
    return paginate(call, "images", found, glance=True)


def _format_filter_value(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


def show_image(call: Call, image_id: str) -> Response:
    """Show one image."""
    return Response(200, serialize(_find_image(call, image_id)))


def create_image(call: Call) -> Response:
    """Create an image record, which is `queued` until it is uploaded."""
    requested = call.request.json()
    image_id, now = call.state.new_id(), format_zulu(call.now)
    call.region.images[image_id] = {
        "name": None, "visibility": "shared", "min_disk": 0, "min_ram": 0, "tags": [], "protected": False, "size": None,
        "virtual_size": None, "os_hidden": False, "disk_format": None, "container_format": None,
        **requested, "id": image_id, "status": "queued", "owner": call.token.project_id, "created_at": now,
        "updated_at": now, "self": f"/v2/images/{image_id}", "file": f"/v2/images/{image_id}/file",
        "schema": "/v2/schemas/image",
    }  # fmt: skip
    call.record_accepted("create_image", image_id)
    return Response(201, call.region.images[image_id])


def upload_image(call: Call, image_id: str) -> Response:
    """Count the uploaded bytes and drop them."""
    image = _find_image(call, image_id)
    call.state.dirty = True
    image.update({"status": "active", "size": len(call.request.body), "updated_at": format_zulu(call.now)})
    return Response(204)


def delete_image(call: Call, image_id: str) -> Response:
    """Delete an image of the caller's project. Snapshots that it references are kept."""
    call.action, call.object_id = "delete_image", image_id
    image = _find_image(call, image_id)
    if image["owner"] != call.token.project_id and not call.token.is_admin:
        raise _build_forbidden_error("You do not own this image")
    if image["protected"]:
        raise _build_forbidden_error(f"Image {image_id} is protected and cannot be deleted.")
    del call.region.images[image_id]
    call.state.dirty = True
    call.record_accepted("delete_image", image_id)
    return Response(204)


def _build_forbidden_error(message: str) -> HttpError:
    page = f"<html><head><title>403 Forbidden</title></head><body>{message}</body></html>"
    return HttpError(Response(403, page.encode(), content_type="text/html; charset=UTF-8"))


ROUTES = Routes(
    [
        ("GET", "/images", list_images),
        ("POST", "/images", create_image),
        ("GET", "/images/<image_id>", show_image),
        ("PUT", "/images/<image_id>/file", upload_image),
        ("DELETE", "/images/<image_id>", delete_image),
    ]
)
