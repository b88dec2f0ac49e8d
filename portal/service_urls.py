"""URLs of the database and the broker, and their passwords.

A password may contain any character, but `@`, `/`, `#`, `?` and `%` have a special meaning in a URL. So a password has its
own setting and is quoted here, and a URL that seems to contain an unquoted password is refused.
"""

from urllib.parse import quote, unquote, urlsplit, urlunsplit


def extract_password(url: str) -> str:
    """Return the password in a URL, or an empty text."""
    return unquote(urlsplit(url).password or "")


def add_password(url: str, password: str) -> str:
    """Return the URL with the quoted password. A URL that already has a password is returned unchanged."""
    split = urlsplit(url)
    if not password or split.password:
        return url
    user, _, place = split.netloc.rpartition("@")
    return urlunsplit(split._replace(netloc=f"{user.rstrip(':')}:{quote(password, safe='')}@{place}"))


def validate_url(name: str, url: str, *, separate_setting: str = "") -> str:
    """Return the URL of the setting `name`. Raises ValueError without the value, which may contain a password."""
    try:
        split = urlsplit(url)
        # `port` raises ValueError when it is not a number.
        is_right = split.port != 0 and not split.fragment and "@" not in split.path + split.query
    except ValueError:
        is_right = False
    if not is_right:
        raise ValueError(
            f"{name} is no address that can be read. If its password has characters such as / # ? %, leave the "
            f"password out of it and set {separate_setting or name.removesuffix('_URL') + '_PASSWORD'}, which may hold any character."
        )
    return url
