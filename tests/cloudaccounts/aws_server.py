"""moto's server, which speaks as AWS does and was written by others, behind a proxy that answers some requests itself."""

from __future__ import annotations

import http.client
import json
import logging
import os
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import boto3

from cloudaccounts.models import CloudAccount

# Otherwise moto makes hundreds of images in each region.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"

from moto.server import ThreadedMotoServer

REGIONS = ["eu-west-1", "us-east-1"]
ACCESS_KEY, SECRET_KEY = "AKIAPORTALTESTS00001", "a-secret/of+tests-that-nobody-may-see"


class AwsServer(ThreadingHTTPServer):
    """The proxy. `answer` gets the operation and the number of its request; it returns (status, headers, body), or None to pass it on."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.moto.start()
        self._is_used = False
        self.reset()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def reset(self):
        """Forget what was created, and pass all requests on."""
        self.answer = lambda operation, number: None
        self.operations = []
        if self._is_used:
            _send(self.moto.get_host_and_port(), "POST", "/moto-api/reset", b"", {})
            self._is_used = False

    def handle_error(self, request, client_address):
        """Ignore clients that disconnect."""

    def close(self):
        self.shutdown()
        self.server_close()
        self.moto.stop()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def client(self, service, region="us-east-1"):
        """Return a client of the SDK itself, which goes past the proxy."""
        self._is_used = True
        host, port = self.moto.get_host_and_port()
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=f"http://{host}:{port}",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: AwsServer

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        operation = parse_qs(body.decode()).get("Action", [f"{self.command} {self.path}"])[0]
        self.server.operations.append(operation)
        answered = self.server.answer(operation, self.server.operations.count(operation))
        if answered is None:
            host, port = self.server.moto.get_host_and_port()
            answered = _send((host, port), self.command, self.path, body, dict(self.headers))
        status, headers, content = answered
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST  # noqa: N815 - the name is that of the library.

    def log_message(self, *args):
        """Say nothing."""


def _send(address, method, path, body, headers):
    with closing(http.client.HTTPConnection(*address, timeout=30)) as connection:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
    kept = {"content-type", "x-amzn-requestid"}
    return (
        answer.status,
        {name: value for name, value in answer.getheaders() if name.lower() in kept},
        content,
    )


def refuse(code, message="No.", status=400):
    """Return an answer by which EC2 refuses a request."""
    xml = f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>r-1</RequestID></Response>"
    return status, {"Content-Type": "text/xml"}, xml.encode()


def an_account(aws, **columns):
    """An account that was verified before."""
    account = CloudAccount(
        **{
            "name": "aws",
            "provider": "aws",
            "access_id": ACCESS_KEY,
            "auth_url": aws.url,
            "regions": ["us-east-1"],
            **columns,
        }
    )
    account.set_secret(json.dumps({"secret_access_key": SECRET_KEY}))
    account.save()
    return account
