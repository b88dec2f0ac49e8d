"""How a user signs in, told to the event of the sign-in: the method, the provider and the second factor."""

from __future__ import annotations

from django.http import HttpRequest


def describe_sign_in(request: HttpRequest | None) -> dict[str, str]:
    """Return what `set_sign_in_method` has set; empty for a session that was opened in another way."""
    return dict(getattr(request, "sign_in_method", {}))


def set_sign_in_method(request: HttpRequest, *, method: str, provider: str = "", factor: str = "") -> None:
    """Set how the user of the request signs in. Call it before Django's `login`."""
    described = {"method": method, "provider": provider, "factor": factor}
    request.sign_in_method = {name: value for name, value in described.items() if value}  # type: ignore[attr-defined]
