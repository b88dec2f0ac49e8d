"""Addresses of the database and the broker, and the passwords that go into them.

A password may hold any character; in an address `@`, `/`, `#`, `?` and `%` have a meaning of their own. So a password
comes in a setting of its own and is quoted here, and an address that looks as if one had been pasted in is refused.
"""

from urllib.parse import quote, unquote, urlsplit, urlunsplit


def password_of(url: str) -> str:
    """Return the password that an address holds, or an empty text."""
    return unquote(urlsplit(url).password or "")


def with_password(url: str, password: str) -> str:
    """Return the address with the password in it, quoted; one that holds a password already stays as it is."""
    split = urlsplit(url)
    if not password or split.password:
        return url
    user, _, place = split.netloc.rpartition("@")
    return urlunsplit(split._replace(netloc=f"{user.rstrip(':')}:{quote(password, safe='')}@{place}"))


def validate_url(name: str, url: str) -> str:
    """Return the address of the setting `name`. Raises ValueError, without the value: it may hold a password."""
    try:
        split = urlsplit(url)
        # Reading the port is what tells whether it is a number.
        is_right = split.port != 0 and not split.fragment and "@" not in split.path + split.query
    except ValueError:
        is_right = False
    if not is_right:
        raise ValueError(
            f"{name} is no address that can be read. If its password has characters such as / # ? %, leave the "
            f"password out of it and set {name.removesuffix('_URL')}_PASSWORD, which may hold any character."
        )
    return url
