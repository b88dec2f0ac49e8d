"""An OpenID Connect provider on loopback that also gives wrong tokens, as no provider of a package does.

It checks what a provider must check of a client: the secret, the code (once), PKCE and the redirect address.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CLIENT_ID, CLIENT_SECRET = "portal", "a secret: with signs"


class SigningKey:
    """A key of the provider."""

    def __init__(self, kid):
        self.kid = kid
        self.private = rsa.generate_private_key(65537, 2048)

    def as_jwk(self):
        jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.private.public_key()))
        return {**jwk, "kid": self.kid, "use": "sig", "alg": "RS256"}

    def public_pem(self):
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class FaultyProvider:
    """The state of the provider: its user, its keys, and what is wrong with its answers."""

    def __init__(self):
        self.keys = [SigningKey("first")]
        self.subject = "subject-1"
        self.claims = {"preferred_username": "li.wei", "email": "li.wei@example.org", "groups": []}
        self.userinfo = {}
        # Changes of an ID token's claims and of its header, and another way to sign it.
        self.wrong_claims = {}
        self.left_out = ()
        self.sign = None
        self.metadata = {}
        self.delay = {}
        self.statuses = {}
        self.requests = []
        self.codes = {}
        self.released = threading.Event()

    def make_id_token(self, nonce):
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": self.subject,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            **self.claims,
            **self.wrong_claims,
        }
        for name in self.left_out:
            claims.pop(name, None)
        if self.sign is not None:
            return self.sign(claims)
        key = self.keys[-1]
        return jwt.encode(claims, key.private, algorithm="RS256", headers={"kid": key.kid})


def _digest(verifier):
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_args):
        """Stay silent."""

    def answer(self, status, body, **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.handle_request(b"")

    def do_POST(self):
        self.handle_request(self.rfile.read(int(self.headers["Content-Length"])))

    def handle_request(self, body):
        provider, parts = self.server.provider, urlsplit(self.path)
        provider.requests.append(parts.path)
        if parts.path in provider.delay:
            provider.released.wait(provider.delay[parts.path])
        if parts.path in provider.statuses:
            self.answer(
                provider.statuses[parts.path], {"error": "server_error"}, Location="http://127.0.0.1:1/"
            )
            return
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        route = {
            "/.well-known/openid-configuration": self.show_metadata,
            "/jwks": lambda: self.answer(200, {"keys": [key.as_jwk() for key in provider.keys]}),
            "/authorize": lambda: self.authorize(query),
            "/token": lambda: self.issue_token(form),
            "/userinfo": self.show_user,
        }.get(parts.path)
        if route is None:
            self.answer(404, {})
        else:
            route()

    def show_metadata(self):
        url = self.server.provider.url
        names = {
            "authorization": "authorize",
            "token": "token",
            "userinfo": "userinfo",
            "end_session": "logout",
        }
        found = {f"{name}_endpoint": f"{url}/{path}" for name, path in names.items()}
        self.answer(200, {"issuer": url, "jwks_uri": f"{url}/jwks", **found, **self.server.provider.metadata})

    def authorize(self, query):
        assert query["response_type"] == "code" and query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256" and "openid" in query["scope"].split()
        code = secrets.token_urlsafe(8)
        self.server.provider.codes[code] = query
        target = f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
        self.answer(302, {}, Location=target)

    def issue_token(self, form):
        pair = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode().split(":")
        if [unquote(part) for part in pair] != [CLIENT_ID, CLIENT_SECRET]:
            self.answer(401, {"error": "invalid_client"})
            return
        query = self.server.provider.codes.pop(form["code"], None)
        is_right = (
            query is not None
            and _digest(form["code_verifier"]) == query["code_challenge"]
            and form["redirect_uri"] == query["redirect_uri"]
        )
        if not is_right:
            self.answer(400, {"error": "invalid_grant"})
            return
        token = self.server.provider.make_id_token(query["nonce"])
        self.answer(200, {"id_token": token, "access_token": "opaque", "token_type": "Bearer"})

    def show_user(self):
        assert self.headers["Authorization"] == "Bearer opaque"
        provider = self.server.provider
        self.answer(200, {"sub": provider.subject, **provider.userinfo})


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        """Stay silent: clients that give up in the middle are part of the tests."""


@contextmanager
def run_provider():
    """Run the provider while the block runs."""
    server = Server(("127.0.0.1", 0), Handler)
    server.provider = provider = FaultyProvider()
    provider.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield provider
    finally:
        provider.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
