"""URLs of the database and the broker, and their passwords.

A password may contain any character, but `@`, `/`, `#`, `?` and `%` have a special meaning in a URL. So a password has its
own setting and is quoted here, and a URL that seems to contain an unquoted password is refused.
"""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit, urlunsplit

SENTINEL_PORT = 26379
POSTGRESQL_SCHEMES = {"postgresql", "postgres"}


def split_url(url: str) -> SplitResult:
    """Split a URL that may name several hosts. Raises ValueError.

    `urlsplit` of newer Pythons refuses brackets beside other text, in a list of hosts as in a password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return urlsplit(url)
    hosts = re.split("[/?#]", rest, maxsplit=1)[0]
    return urlsplit(f"{scheme}://host{rest.removeprefix(hosts)}")._replace(netloc=hosts)


def extract_password(url: str) -> str:
    """Return the password in a URL, or an empty text."""
    return unquote(split_url(url).password or "")


def add_password(url: str, password: str) -> str:
    """Return the URL with the quoted password. A URL that already has a password is returned unchanged."""
    split = split_url(url)
    if not password or split.password:
        return url
    user, _, place = split.netloc.rpartition("@")
    return urlunsplit(split._replace(netloc=f"{user.rstrip(':')}:{quote(password, safe='')}@{place}"))


def validate_url(name: str, url: str, *, separate_setting: str = "") -> str:
    """Return the URL of the setting `name`. Raises ValueError without the value, which may contain a password.

    A URL of PostgreSQL may name several servers, `postgresql://user@host:5432,host2:5432/database`.
    """
    if is_sentinel_url(url):
        parse_sentinel_url(name, url)
        return url
    try:
        split = split_url(url)
        places = [split.netloc.rpartition("@")[2]]
        if split.scheme in POSTGRESQL_SCHEMES:
            places = places[0].split(",")
        # `port` raises ValueError when it is not a number.
        ports = [urlsplit(f"//{place}").port for place in places]
        # libpq takes the ports in the order of the servers: a missing one would give its place to the next.
        is_complete = len(places) == 1 or (all(places) and (all(ports) or not any(ports)))
        is_right = (
            0 not in ports and is_complete and not split.fragment and "@" not in split.path + split.query
        )
    except ValueError:
        is_right = False
    if not is_right:
        raise ValueError(
            f"{name} is no address that can be read, or names several servers and not all ports. If its password has characters such as / # ? %, leave the "
            f"password out of it and set {separate_setting or name.removesuffix('_URL') + '_PASSWORD'}, which may hold any character."
        )
    return url


@dataclass(frozen=True)
class SentinelAddress:
    """A group of Redis servers, found through the Sentinels that watch it."""

    sentinels: tuple[tuple[str, int], ...]
    # The name of the group in the configuration of the Sentinels.
    master: str
    # The user and the password of the Redis servers, as in a URL, with "@"; or an empty text.
    credentials: str
    database: int

    @property
    def redis_url(self) -> str:
        """Return the URL of a Redis server of the group, with the name of the group as its host."""
        return f"redis://{self.credentials}{quote(self.master, safe='')}/{self.database}"

    @property
    def broker_url(self) -> str:
        """Return the URL as kombu reads it: one for each Sentinel, in brackets if it is an IPv6 address."""
        hosts = ((f"[{host}]" if ":" in host else host, port) for host, port in self.sentinels)
        return ";".join(f"sentinel://{self.credentials}{host}:{port}/{self.database}" for host, port in hosts)


def is_sentinel_url(url: str) -> bool:
    """Return whether a URL names Sentinels instead of one Redis."""
    return url.startswith("sentinel://")


def parse_sentinel_url(name: str, url: str) -> SentinelAddress:
    """Return the address in `sentinel://[user:password@]host[:port][,host[:port]...][/database]?master=name`.

    Raises ValueError without the value, which may contain a password.
    """
    try:
        # Python takes several hosts for an invalid IPv6 address if one of them is in brackets.
        split = split_url(url)
        credentials, at, places = split.netloc.rpartition("@")
        ports = [urlsplit(f"//{place}") for place in places.split(",")]
        sentinels = tuple((place.hostname or "", place.port or SENTINEL_PORT) for place in ports)
        (master,) = parse_qs(split.query, strict_parsing=True)["master"]
        database = int(split.path.strip("/") or "0")
        if not all(host for host, _port in sentinels) or split.fragment or database < 0:
            raise ValueError
    except (ValueError, KeyError):
        raise ValueError(
            f"{name} is no address of Sentinels that can be read. Write sentinel://host:26379,host2:26379/0?master=name, "
            f"with the name of the group in the Sentinels' configuration, and the password in "
            f"{name.removesuffix('_URL')}_PASSWORD."
        ) from None
    return SentinelAddress(sentinels, master, credentials + at, database)
