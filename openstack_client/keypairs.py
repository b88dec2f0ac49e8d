"""Key pairs of the user of the credentials: Nova."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from .errors import (
    CloudConflictError,
    CloudError,
    CloudKeypairExistsError,
    CloudNotFoundError,
    CloudQuotaExceededError,
    InvalidCloudRequestError,
)
from .nova_requests import COMPUTE_MICROVERSION, SERVICE, NovaRequests, unwrap_object
from .paging import RecordPage, join_pages, json_pages, read_records
from .records import Keypair
from .records.keypairs import keypair_name

# For listings of few objects, which are joined. Nova returns at most this number in one page.
_PAGE_SIZE = 1000
# Nova's own limit before microversion 2.92; a name with other characters is refused there.
_NAME = re.compile(r"[A-Za-z0-9_\-](?:[A-Za-z0-9 _\-]{0,253}[A-Za-z0-9_\-])?")
# RSA with 16,384 bits has 2,800 characters; nothing else that people use is longer.
_MAX_PUBLIC_KEY = 10_000


class Keypairs(NovaRequests):
    """Nova's key pairs. They belong to the user of the credentials, not to the project: other users do not see them."""

    def list_keypairs(self) -> RecordPage[Keypair]:
        """List the key pairs of the user of the credentials, by name."""
        pages = json_pages(
            self._transport,
            SERVICE,
            "/os-keypairs",
            "keypairs",
            doing="list key pairs",
            page_size=_PAGE_SIZE,
            microversion=COMPUTE_MICROVERSION,
            get_marker=keypair_name,
        )
        return join_pages(read_records(page, Keypair.from_json) for page in pages)

    def find_keypair(self, name: str) -> Keypair | None:
        """Return the key pair of this name, or None."""
        try:
            body = self._call("GET", _path(name), f"read key pair {name}")
        except CloudNotFoundError:
            return None
        return Keypair.from_json({"keypair": unwrap_object(body, "keypair")})

    def create_keypair(self, name: str, public_key: str) -> Keypair:
        """Import a public key under a name of 1 to 255 letters, digits, spaces, "-" and "_". Safe to repeat.

        A key pair of this name with the same key is returned unchanged, so an earlier attempt does no harm.
        Raises `CloudKeypairExistsError` when it has another key, `CloudQuotaExceededError`, and `InvalidCloudRequestError` for a key
        that Nova cannot read.
        """
        payload: dict[str, Any] = {
            "name": _validate_name(name),
            "type": "ssh",
            "public_key": _validate_public_key(public_key),
        }
        refused: CloudError
        try:
            body = self._call("POST", "/os-keypairs", f"create key pair {name}", json={"keypair": payload})
        except (CloudConflictError, CloudQuotaExceededError) as error:
            # Nova checks the quota before the name, so a repetition may meet either.
            refused = error
        else:
            return Keypair.from_json({"keypair": unwrap_object(body, "keypair")})
        found = self.find_keypair(name)
        if found is not None and found.has_key(public_key):
            return found
        if found is None or isinstance(refused, CloudQuotaExceededError):
            raise refused
        raise CloudKeypairExistsError(
            f"Could not create key pair {name}: there is one of this name with another key ({found.fingerprint}).",
            status_code=refused.status_code,
            request_id=refused.request_id,
        )

    def delete_keypair(self, name: str) -> None:
        """Delete a key pair; one that does not exist is no error. Servers that were created with it keep the key."""
        try:
            self._call("DELETE", _path(name), f"delete key pair {name}")
        except CloudNotFoundError:
            return


def _path(name: str) -> str:
    return f"/os-keypairs/{quote(_validate_name(name), safe='')}"


def _validate_name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidCloudRequestError(
            f"{name!r:.80} is not a valid name of a key pair: 1 to 255 letters, digits, spaces, hyphens and underscores, "
            "with no space at its ends."
        )
    return name


def _validate_public_key(public_key: object) -> str:
    if not isinstance(public_key, str) or not public_key.strip() or len(public_key) > _MAX_PUBLIC_KEY:
        raise InvalidCloudRequestError(
            f"A public key is text of 1 to {_MAX_PUBLIC_KEY:,} characters in the form of OpenSSH."
        )
    if "PRIVATE KEY" in public_key:
        # Not repeated in the message, and never sent: Nova would store and show it.
        raise InvalidCloudRequestError("This is a private key. Only a public key may be imported.")
    return public_key.strip()
