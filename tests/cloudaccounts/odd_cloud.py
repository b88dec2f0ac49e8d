"""A proxy before the simulated cloud that spoils answers on their way, as broken clouds and proxies do."""

from __future__ import annotations

import http.client
import ssl
import threading
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.utils import timezone


class OddCloud(ThreadingHTTPServer):
    """`spoil` gets the path and the answer's status and body, and gives back what is to be sent: (status, body)."""

    daemon_threads = True

    def __init__(self, simulator):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.simulator = simulator
        self.asked = []
        self.be_good()

    def be_good(self):
        """From now on, answers pass as they are."""
        self.steer = lambda target: target
        self.spoil = lambda path, status, body: (status, body)

    def handle_error(self, request, client_address):
        """Says nothing of clients that go away."""

    @property
    def auth_url(self):
        return f"http://127.0.0.1:{self.server_port}/identity/v3"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: OddCloud

    def do_GET(self):
        target = self.server.steer(self.path)
        self.server.asked.append(target)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        inner = http.client.HTTPConnection(self.server.simulator.host, self.server.simulator.port, timeout=30)
        # The cloud is asked under our own name, so that its catalog leads here.
        inner.request(self.command, target, body=body, headers=dict(self.headers))
        answer = inner.getresponse()
        status, text = self.server.spoil(urlsplit(target).path, answer.status, answer.read())
        inner.close()
        self.send_response(status)
        for name, value in answer.getheaders():
            if name.lower() not in {"content-length", "transfer-encoding", "connection", "date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_GET  # noqa: N815 - the library's name.

    def log_message(self, *_words):
        """Says nothing."""


@contextmanager
def odd_cloud(simulator, *, tls_folder=None):
    """Serve one while the block runs; with a folder, over TLS with a certificate that nobody has signed."""
    server = OddCloud(simulator)
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
