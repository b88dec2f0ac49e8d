"""The sources of the settings: the environment and the file `.env`."""

from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

from portal.service_urls import add_password, validate_url

BASE_DIR = Path(__file__).resolve().parents[2]
env = environ.Env()
if (BASE_DIR / ".env").is_file():
    env.read_env(str(BASE_DIR / ".env"))

PORTAL_ENV = env.str("PORTAL_ENV", default="development")
if PORTAL_ENV not in {"development", "test", "production"}:
    raise ImproperlyConfigured(f"PORTAL_ENV is '{PORTAL_ENV}', not 'development', 'test' or 'production'.")
PRODUCTION = PORTAL_ENV == "production"


def required_in_production(name: str, development: str) -> str:
    """Return the value of an environment variable that has a default only outside production."""
    value: str = env.str(name, default="" if PRODUCTION else development)
    if not value:
        raise ImproperlyConfigured(
            f"{name} is not set; production does not start without it (see .env.example)."
        )
    return value


def service_url(name: str, default: str, password: str, *, separate_setting: str = "") -> str:
    """Return the URL in an environment variable; a URL without a password gets `password`.

    `separate_setting` is the variable with the password, unless it is named like that of the URL.
    """
    try:
        url = validate_url(name, env.str(name, default="") or default, separate_setting=separate_setting)
        return add_password(url, password)
    except ValueError as error:
        raise ImproperlyConfigured(str(error)) from None
