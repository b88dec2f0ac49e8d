"""The addresses of database and broker, with passwords that hold any character."""

import importlib
import signal
import sys
import time
from pathlib import Path

import psycopg2
import pytest
import redis
from django.core.exceptions import ImproperlyConfigured
from kombu import Connection
from kombu.utils.url import parse_url

from devserver import launch
from devserver.postgres import Postgres
from devserver.valkey import Valkey
from portal.service_urls import add_password, extract_password, validate_url
from tests.servers import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
PASSWORDS = ["plain", "p@ss:w/rd#?%41&=+ \"'\\", "%", "$HOME", "--flag", "密码", "a@b@c", "[x]"]
PRODUCTION = {
    "PORTAL_ENV": "production",
    "SECRET_KEY": "x" * 60,
    "ENCRYPTION_KEYS": "x",
    "ALLOWED_HOSTS": "portal.example.org",
}


@pytest.fixture
def read_settings(monkeypatch):
    """The settings as another process would read them, by the given environment."""

    def read(**environment):
        services = ("DATABASE", "DATABASE_DIRECT", "DATABASE_REPLICA", "REDIS", "REDIS_SENTINEL", "RABBITMQ")
        names = [f"{service}_{part}" for service in services for part in ("URL", "PASSWORD")]
        for name in [*names, "DATABASE_POOLER", "DATABASE_REPLICA_MAX_LAG_SECONDS"]:
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for name in [name for name in sys.modules if name.partition(".settings")[0] == "portal"]:
            monkeypatch.delitem(sys.modules, name)
        return vars(importlib.import_module("portal.settings"))

    return read


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_password_of_any_characters_arrives_as_it_is(read_settings, password):
    settings = read_settings(
        DATABASE_URL="postgresql://portal@db.example.org:5432/portal",
        DATABASE_PASSWORD=password,
        REDIS_URL="redis://redis.example.org:6379/3",
        REDIS_PASSWORD=password,
    )

    database = settings["DATABASES"]["default"]
    assert (database["USER"], database["PASSWORD"], database["HOST"]) == (
        "portal",
        password,
        "db.example.org",
    )
    cache = redis.connection.parse_url(settings["CACHES"]["default"]["LOCATION"])
    assert (cache["host"], cache["password"], cache["db"]) == ("redis.example.org", password, 3)
    broker = Connection(settings["CELERY_BROKER_URL"])
    assert (broker.hostname, broker.password, broker.virtual_host) == ("redis.example.org", password, "3")


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("redis://h:1/0", "redis://:p%40@h:1/0"),
        ("rediss://user@h/0", "rediss://user:p%40@h/0"),
        ("redis://user:@[::1]:6379/0", "redis://user:p%40@[::1]:6379/0"),
        ("redis://:own@h/0", "redis://:own@h/0"),
        ("unix:///run/redis.sock?db=1", "unix://:p%40@/run/redis.sock?db=1"),
        ("postgresql://u@%2Frun%2Fpostgresql/portal", "postgresql://u:p%40@%2Frun%2Fpostgresql/portal"),
    ],
)
def test_where_the_password_goes(url, known):
    assert add_password(url, "p@") == known
    assert add_password(url, "") == url
    assert extract_password(known) in {"p@", "own"}


@pytest.mark.parametrize("password", ["a/b", "a#b", "a?b", "1/2", "1?2", "1#2", "a/b@c"])
def test_an_address_with_a_password_pasted_into_it_is_refused_without_showing_it(read_settings, password):
    with pytest.raises(ImproperlyConfigured, match="REDIS_PASSWORD") as refused:
        read_settings(REDIS_URL=f"redis://:{password}@h:6379/0")
    assert password not in str(refused.value)
    with pytest.raises(ImproperlyConfigured, match="DATABASE_PASSWORD"):
        read_settings(DATABASE_URL=f"postgresql://u:{password}@h:5432/portal")


def test_ordinary_addresses_are_accepted():
    for url in (
        "postgresql:///portal",
        "postgresql://u:p%2F@h/d?sslmode=require",
        "redis://elsewhere",
        "unix:///run/redis.sock?db=1",
        "redis://:p@h@[::1]:6379/0",
    ):
        assert validate_url("REDIS_URL", url) == url


@pytest.mark.parametrize("password", PASSWORDS)
def test_sentinels_are_a_broker_and_a_cache(read_settings, password):
    settings = read_settings(
        REDIS_URL="sentinel://one.example.org,[::1]:26380/3?master=portal",
        REDIS_PASSWORD=password,
        REDIS_SENTINEL_PASSWORD="other",
    )

    assert settings["REDIS_SENTINELS"] == [("one.example.org", 26379), ("::1", 26380)]
    broker = Connection(settings["CELERY_BROKER_URL"], transport_options={})
    assert [parse_url(url)["hostname"] for url in broker.alt] == ["one.example.org", "::1"]
    assert {(parse_url(url)["password"], parse_url(url)["virtual_host"]) for url in broker.alt} == {
        (password, "3")
    }
    options = settings["CELERY_BROKER_TRANSPORT_OPTIONS"]
    assert (options["master_name"], options["sentinel_kwargs"]["password"]) == ("portal", "other")
    cache = redis.connection.parse_url(settings["CACHES"]["default"]["LOCATION"])
    assert (cache["password"], cache["db"]) == (password, 3)


@pytest.mark.parametrize(
    "url",
    [
        "sentinel://h:26379/0",
        "sentinel://h:26379/0?master=",
        "sentinel://:pass/word@h/0?master=portal",
        "sentinel://h,,h2/0?master=portal",
        "sentinel://h:port/0?master=portal",
        "sentinel://h/zero?master=portal",
    ],
)
def test_sentinels_that_cannot_be_read_are_refused(read_settings, url):
    with pytest.raises(
        ImproperlyConfigured, match=r"Write sentinel://host:26379,host2:26379/0\?master=name"
    ) as refused:
        read_settings(REDIS_URL=url)
    assert "word" not in str(refused.value).replace("password", "").replace("PASSWORD", "")


def test_rabbitmq_is_the_broker_and_redis_the_cache(read_settings):
    settings = read_settings(
        **PRODUCTION,
        REDIS_PASSWORD="secret",
        RABBITMQ_URL="amqp://portal@mq.example.org/portal",
        RABBITMQ_PASSWORD=PASSWORDS[1],
    )

    broker = Connection(settings["CELERY_BROKER_URL"])
    assert (broker.hostname, broker.password, broker.virtual_host) == (
        "mq.example.org",
        PASSWORDS[1],
        "portal",
    )
    assert settings["CACHES"]["default"]["LOCATION"].startswith("redis://")
    with pytest.raises(ImproperlyConfigured, match="The broker has no password"):
        read_settings(**PRODUCTION, REDIS_PASSWORD="secret", RABBITMQ_URL="amqp://portal@h/portal")
    with pytest.raises(ImproperlyConfigured, match="begins with 'redis:'"):
        read_settings(RABBITMQ_URL="redis://h/0")


def test_production_does_not_start_with_a_broker_that_asks_for_no_password(read_settings):
    with pytest.raises(ImproperlyConfigured, match="The broker has no password"):
        read_settings(**PRODUCTION, REDIS_URL="redis://127.0.0.1:6379/0")

    assert read_settings(**PRODUCTION, REDIS_URL="redis://:secret@127.0.0.1:6379/0")["PRODUCTION"]
    assert read_settings(**PRODUCTION, REDIS_PASSWORD="secret")["PRODUCTION"]


def test_the_embedded_servers_take_any_password(tmp_path):
    tmp_path.chmod(0o711)
    for folder in tmp_path.parents[:2]:
        folder.chmod(0o711)
    servers = [
        Valkey(folder=tmp_path / "valkey", port=free_port(), password=PASSWORDS[1]),
        Postgres(folder=tmp_path / "postgres", port=free_port(), password=PASSWORDS[1], durable=False),
    ]
    servers[1].prepare()
    processes = [server.start() for server in servers]
    try:
        deadline = time.monotonic() + 20
        while not all(server.is_ready() for server in servers):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with redis.Redis.from_url(servers[0].url()) as client:
            assert client.ping()
        psycopg2.connect(servers[1].url).close()
    finally:
        for process in processes:
            launch.end(process, stop_signal=signal.SIGINT, seconds=10)


def test_the_database_may_have_several_servers(read_settings):
    """libpq connects to the first one that has the wanted role: the way to follow a failover."""
    database = read_settings(
        DATABASE_URL="postgresql://portal@10.0.0.1:5432,10.0.0.2:5433/portal?target_session_attrs=read-write",
        DATABASE_PASSWORD="a/b@c,d",
    )["DATABASES"]["default"]

    assert (database["HOST"], database["PORT"]) == ("10.0.0.1,10.0.0.2", "5432,5433")
    assert (database["USER"], database["PASSWORD"]) == ("portal", "a/b@c,d")
    assert database["OPTIONS"]["target_session_attrs"] == "read-write"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@a:5432,b/portal",
        "postgresql://u@a,/portal",
        "postgresql://u@a:1,b:x/portal",
        "redis://a:1,b:2/0",
    ],
)
def test_several_servers_have_all_ports_or_none(url):
    with pytest.raises(ValueError, match="not all ports"):
        validate_url("DATABASE_URL", url)
