"""A proxy in front of the simulated cloud that rewrites answers, as broken clouds and proxies do."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from contextlib import closing, contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.utils import timezone


class FaultyCloud(ThreadingHTTPServer):
    """The proxy. `rewrite_answer` gets the path, the status and the body of an answer, and returns (status, body) to send."""

    daemon_threads = True

    def __init__(self, simulator):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.simulator = simulator
        self.requested_targets = []
        self.reset()

    def reset(self):
        """Pass requests and answers unchanged from now on."""
        self.rewrite_target = lambda target: target
        self.rewrite_answer = lambda path, status, body: (status, body)

    def handle_error(self, request, client_address):
        """Ignore clients that disconnect."""

    @property
    def auth_url(self):
        return f"http://127.0.0.1:{self.server_port}/identity/v3"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyCloud

    def do_GET(self):
        target = self.server.rewrite_target(self.path)
        self.server.requested_targets.append(target)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection(
            self.server.simulator.host, self.server.simulator.port, timeout=30
        )
        # A rewrite may fail on purpose, and a socket left open is collected during a later test, which then fails.
        with closing(connection):
            # The Host header stays that of the proxy, so that the catalog leads to the proxy.
            connection.request(self.command, target, body=body, headers=dict(self.headers))
            answer = connection.getresponse()
            status, text = self.server.rewrite_answer(urlsplit(target).path, answer.status, answer.read())
        self.send_response(status)
        for name, value in answer.getheaders():
            if name.lower() not in {"content-length", "transfer-encoding", "connection", "date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_GET  # noqa: N815 - the library's name.

    def log_message(self, *_words):
        """Log nothing."""


@contextmanager
def faulty_cloud(simulator, *, tls_folder=None):
    """Serve one while the block runs; with a folder, over TLS with a certificate that nobody has signed."""
    server = FaultyCloud(simulator)
    if tls_folder is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_certificate(tls_folder))
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    serving = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    serving.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        serving.join(5)


def _certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cloud.example.org")])
    now = timezone.now()
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    return file


def is_volume_listing(path):
    """Return whether a path is that of the listing of volumes."""
    return path.endswith("/volumes/detail")


def rewrite_volume_pages(change):
    """Return a function for `rewrite_answer` that passes pages of volumes to `change`, which edits the JSON or returns bytes."""

    def rewrite_answer(path, status, body):
        if not is_volume_listing(path):
            return status, body
        page = json.loads(body)
        replacement = change(page)
        return status, replacement if isinstance(replacement, bytes) else json.dumps(page).encode()

    return rewrite_answer
