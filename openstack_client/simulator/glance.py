"""Glance: images as records; their bytes are nobody's business here."""

from __future__ import annotations

from .clock import zulu
from .exchange import Answer, Call, Refused, bad_request
from .listing import paged, shown
from .routes import Routes
from .state import Thing


def versions(base: str) -> Thing:
    """What a client asks first."""
    link = [{"rel": "self", "href": f"{base}/v2/"}]
    return {
        "versions": [
            {"id": "v2.15", "status": "CURRENT", "links": link},
            {"id": "v2.0", "status": "SUPPORTED", "links": link},
        ]
    }


def _visible(call: Call) -> list[Thing]:
    return [
        image
        for image in call.region.images.values()
        if image["visibility"] == "public" or image["owner"] == call.token.project_id or call.token.is_admin
    ]


def _find(call: Call, image_id: str) -> Thing:
    found = next((image for image in _visible(call) if image["id"] == image_id), None)
    if found is None:
        # Glance answers this in HTML.
        page = f"<html><head><title>404 Not Found</title></head><body>No image found with ID {image_id}</body></html>"
        raise Refused(Answer(404, page.encode(), content_type="text/html; charset=UTF-8"))
    return found


def list_images(call: Call) -> Answer:
    """Newest first."""
    query = dict(call.query())
    found = [
        image
        for image in _visible(call)
        if all(
            str(image.get(key)) == query[key]
            for key in ("name", "status", "visibility", "owner", "os_distro", "os_version", "os_type")
            if key in query
        )
    ]
    found.sort(key=lambda image: (image["created_at"], image["id"]), reverse=True)
    return paged(call, "images", found, glance=True)


def show_image(call: Call, image_id: str) -> Answer:
    """One image."""
    return Answer(200, shown(_find(call, image_id)))


def create_image(call: Call) -> Answer:
    """A record; it is `queued` until bytes come."""
    wanted = call.request.json()
    image_id, now = call.state.new_id(), zulu(call.now)
    call.region.images[image_id] = {
        "name": None, "visibility": "shared", "min_disk": 0, "min_ram": 0, "tags": [], "protected": False, "size": None,
        **wanted, "id": image_id, "status": "queued", "owner": call.token.project_id, "created_at": now,
        "updated_at": now, "self": f"/v2/images/{image_id}", "file": f"/v2/images/{image_id}/file",
        "schema": "/v2/schemas/image",
    }  # fmt: skip
    call.did("create_image", image_id)
    return Answer(201, call.region.images[image_id])


def upload_image(call: Call, image_id: str) -> Answer:
    """The bytes are counted and dropped."""
    image = _find(call, image_id)
    image.update({"status": "active", "size": len(call.request.body), "updated_at": zulu(call.now)})
    return Answer(204)


def delete_image(call: Call, image_id: str) -> Answer:
    """Its owner's alone."""
    image = _find(call, image_id)
    if image["owner"] != call.token.project_id and not call.token.is_admin:
        raise Refused(Answer(403, b"<html><body>You are not permitted to delete this image.</body></html>",
                             content_type="text/html"))  # fmt: skip
    if image["protected"]:
        raise bad_request("Image is protected")
    del call.region.images[image_id]
    call.did("delete_image", image_id)
    return Answer(204)


ROUTES = Routes(
    [
        ("GET", "/images", list_images),
        ("POST", "/images", create_image),
        ("GET", "/images/<image_id>", show_image),
        ("PUT", "/images/<image_id>/file", upload_image),
        ("DELETE", "/images/<image_id>", delete_image),
    ]
)
