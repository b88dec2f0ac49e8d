"""Whatever is at the other end, a `CloudError` of a sensible class comes out, in words that say what was wrong."""

import dataclasses
import datetime as dt
import gzip
import ipaddress
import socket
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from openstack_client import (
    CloudAuthenticationError,
    Cloud,
    CloudCredentials,
    CloudError,
    CloudUnavailableError,
    ConnectionRules,
    InvalidCloudRequestError,
    ServerReading,
)

LIBRARY_WORDS = (
    "Max retries",
    "ConnectionPool",
    "HTTPSConnection",
    "Traceback",
    "object at 0x",
    "Unexpected exception",
)


class Scripted:
    """Answers every connection with the same bytes and closes it."""

    def __init__(self, answer, context=None):
        self.answer, self.context = answer, context
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.settimeout(2)
            try:
                if self.context is not None:
                    connection = self.context.wrap_socket(connection, server_side=True)
                connection.recv(65536)
                connection.sendall(self.answer)
                connection.shutdown(socket.SHUT_WR)
                # A while for the client to close too, so that what was not read resets nothing.
                connection.settimeout(0.2)
                connection.recv(65536)
            except OSError:
                pass
            finally:
                connection.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(5)


@pytest.fixture
def scripted():
    made = []

    def make(answer, context=None):
        made.append(Scripted(answer, context))
        return made[-1]

    yield make
    for one in made:
        one.close()


def http(body, *, status="200 OK", length=None, headers=""):
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length or len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def certificate(folder, name):
    """Self-signed, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = folder / f"{name}.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = folder / f"{name}.key"
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return pem, secret


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    return folder, certificate(folder, "own"), certificate(folder, "other")


@pytest.fixture
def tls(scripted, certificates):
    """A server with a certificate that it signed itself, and the folder of certificates."""
    folder, own, _ = certificates
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*own)
    return scripted(http(b"{}"), context), folder


def login(url, **more):
    return CloudCredentials(auth_url=url, username="demo", password="demo", project_name="demo", **more)


def failure(credentials):
    """What logging in comes to."""
    with Cloud(credentials, connect_timeout=2, read_timeout=2) as cloud, pytest.raises(CloudError) as caught:
        cloud.check()
    assert not [word for word in LIBRARY_WORDS if word in caught.value.message], caught.value.message
    assert caught.value.__context__ is None
    return caught.value


def test_certificate_that_nobody_trusts(tls):
    server, folder = tls
    url = f"https://127.0.0.1:{server.port}/v3"
    for more in ({}, {"ca_bundle": (folder / "other.pem").read_text()}):
        error = failure(login(url, **more))
        assert type(error) is CloudUnavailableError
        assert f"the certificate of https://127.0.0.1:{server.port} is not trusted" in error.message
    # The right one gets through to an answer that is not Keystone's.
    error = failure(login(url, ca_bundle=(folder / "own.pem").read_text()))
    assert "certificate" not in error.message and "right address" in error.message


def test_certificate_of_another_host(tls):
    server, folder = tls
    error = failure(login(f"https://localhost:{server.port}/v3", ca_bundle=(folder / "own.pem").read_text()))
    assert type(error) is CloudUnavailableError and "is not trusted: Hostname mismatch" in error.message


def test_certificate_is_held_against_the_host_asked_for_wherever_it_was_connected_to(tls):
    server, folder = tls
    asked = []

    def connect(host, port, timeout):
        asked.append((host, port))
        return socket.create_connection(("127.0.0.1", server.port), timeout)

    bundle = (folder / "own.pem").read_text()
    for host, words in (("cloud.example", "Hostname mismatch"), ("127.0.0.1:9", "is it the right address")):
        with (
            Cloud(
                login(f"https://{host}/v3", ca_bundle=bundle), rules=ConnectionRules(connect=connect)
            ) as cloud,
            pytest.raises(CloudUnavailableError, match=words),
        ):
            cloud.check()
    assert asked == [("cloud.example", 443), ("127.0.0.1", 9)]


@pytest.mark.parametrize(
    "content", ["this is no PEM", "证书", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"]
)
def test_bundle_that_is_no_pem(tls, content):
    server, _ = tls
    error = failure(login(f"https://127.0.0.1:{server.port}/v3", ca_bundle=content))
    assert type(error) is InvalidCloudRequestError and "CA bundle" in error.message


@pytest.mark.parametrize("name", ["none.pem", "."])
def test_bundle_that_cannot_be_read(tmp_path, monkeypatch, name):
    path = tmp_path / name
    (tmp_path / "clouds.yaml").write_text(
        f"clouds: {{x: {{cacert: {path}, auth: {{auth_url: 'https://cloud.example/v3'}}}}}}"
    )
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))

    with pytest.raises(InvalidCloudRequestError, match="CA bundle") as caught:
        Cloud.from_clouds_yaml("x")
    assert caught.value.__context__ is None


def test_https_where_only_http_is_spoken_and_the_other_way_round(scripted, tls):
    plain = scripted(http(b"{}"))
    error = failure(login(f"https://127.0.0.1:{plain.port}/v3"))
    assert type(error) is CloudUnavailableError and "https" in error.message
    error = failure(login(f"http://127.0.0.1:{tls[0].port}/v3"))
    assert type(error) is CloudUnavailableError


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (http(b"<html>Welcome</html>"), CloudUnavailableError, "is it the right address"),
        (http(b"[1]"), CloudUnavailableError, "is it the right address"),
        (http(b"[" * 100_000), CloudUnavailableError, "no usable answer"),
        (http(b"{}", status="404 Not Found"), InvalidCloudRequestError, "leads nowhere"),
        (http(b"{}", status="401 Unauthorized"), CloudAuthenticationError, "does not accept the credentials"),
        (http(b"{", length=1000), CloudUnavailableError, "broke off"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", CloudUnavailableError, "does not speak HTTP"),
        (b"", CloudUnavailableError, "closed the connection"),
        (http(b"", status="302 Found", headers="Location: http://a b/\r\n"), InvalidCloudRequestError, "redirects"),
    ],
)  # fmt: skip
def test_what_is_there_is_no_keystone(scripted, answer, kind, words):
    error = failure(login(f"http://127.0.0.1:{scripted(answer).port}/v3"))
    assert isinstance(error, kind) and words in error.message


def test_nobody_is_there():
    error = failure(login("http://no-such-host.invalid/v3"))
    assert type(error) is CloudUnavailableError and "http://no-such-host.invalid is not known" in error.message
    error = failure(login("http://127.0.0.1:9/v3"))
    assert type(error) is CloudUnavailableError and "nothing listens at http://127.0.0.1:9" in error.message


@pytest.mark.parametrize(
    "url", ["http://", "http://[::1/v3", "http://a b/v3", "http://h:99999/", "http://h:0/", f"http://{'x' * 70}.org/",
            "http://.example.org/"]
)  # fmt: skip
def test_address_that_cannot_be(url):
    assert type(failure(login(url))) is InvalidCloudRequestError


def test_wrong_password_and_expired_application_credential(credentials, control):
    error = failure(dataclasses.replace(credentials, password="wrong"))
    assert type(error) is CloudAuthenticationError and error.status_code == 401
    assert "wrong, switched off or expired" in error.message


@pytest.fixture
def elsewhere(cloud, scripted):
    """Makes Nova's listing come from a server that always gives the same answer."""

    def lead(answer):
        cloud.compute.check()
        override = f"http://127.0.0.1:{scripted(answer).port}/v2.1"
        cloud._transport._proxies["compute"].endpoint_override = override
        return cloud

    return lead


PAGE = b'{"servers": [{"id": "a"}]}'


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (http(b"[" * 100_000), "nested too deeply"),
        (http(b"<html></html>"), "something else than JSON"),
        (http(b'[{"id": "a"}]'), "holds no list of servers"),
        (http(b'{"servers": {"id": "a"}}'), "holds no list of servers"),
        (http(b'{"servers": [{"id": "a"}, {"id": 7}]}'), "turns in a circle"),
        (http(b"null"), "holds no list of servers"),
        (http(b""), "holds no list of servers"),
        (http(PAGE[:10], length=len(PAGE)), "broke off"),
        (http(PAGE, length=len(PAGE) + 100), "broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" + PAGE[:5], "broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + PAGE, "broke off"),
        (http(gzip.compress(PAGE * 100)[:30], headers="Content-Encoding: gzip\r\n"), "something else than JSON"),
        (http(b"no gzip at all", headers="Content-Encoding: gzip\r\n"), "came damaged"),
        (http(b"[" * 100_000, status="500 Oops"), "compute answered 500"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5", "broke off"),
    ],
)  # fmt: skip
def test_page_that_makes_no_sense(elsewhere, answer, words):
    with pytest.raises(CloudUnavailableError) as caught:
        list(elsewhere(answer).compute.server_pages())
    assert words in caught.value.message
    assert not [word for word in LIBRARY_WORDS if word in caught.value.message], caught.value.message
    assert caught.value.__context__ is None


def test_what_the_caller_was_busy_with_is_not_taken_for_the_reason(credentials):
    away = dataclasses.replace(credentials, auth_url="http://127.0.0.1:9/v3")
    try:
        raise FileNotFoundError
    except FileNotFoundError:
        with Cloud(away) as cloud, pytest.raises(CloudUnavailableError, match="nothing listens"):
            cloud.check()


def test_guards_own_errors_are_never_translated(credentials):
    for raised in (ValueError("the guard's"), OSError("the guard's"), KeyError("the guard's")):

        def guard(raised=raised):
            raise raised

        with Cloud(credentials, guard=guard) as cloud, pytest.raises(type(raised)) as caught:
            cloud.check()
        assert caught.value is raised


def test_reading_that_is_nested_too_deeply():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(CloudUnavailableError, match="nested too deeply"):
        ServerReading.from_json({"id": "a", "addresses": deep})
    while deep:
        deep = deep[0]
