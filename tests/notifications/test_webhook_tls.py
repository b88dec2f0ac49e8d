"""Webhooks over TLS: the certificate is verified, and the handshake is bounded like everything else."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from notifications import delivering, webhook_requests
from tests.certificates import write_certificates
from tests.notifications.receiver import running_receiver
from tests.notifications.test_webhooks import be_due, make_webhook, names_of, record

pytestmark = pytest.mark.django_db


def test_over_tls_the_certificate_is_verified_and_a_slow_handshake_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_certificates(tmp_path)
    with running_receiver(tmp_path) as receiver:
        webhook, _secret = make_webhook(f"https://{receiver.netloc}/hook")
        record(webhook, "a")
        delivering.deliver()
        webhook.refresh_from_db()
        assert "CERTIFICATE_VERIFY_FAILED" in webhook.last_error
        assert receiver.received == []

        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        be_due(webhook)
        delivering.deliver()
        assert names_of(receiver.received) == ["a"]

    monkeypatch.setattr(webhook_requests, "REQUEST_SECONDS", 0.5)
    with socket.create_server(
        ("127.0.0.1", 0)
    ) as silent:  # It takes the connection, and answers no handshake.
        webhook, _secret = make_webhook(f"https://127.0.0.1:{silent.getsockname()[1]}/")
        record(webhook, "b")
        delivering.deliver()
    webhook.refresh_from_db()
    assert webhook.last_error == "no complete answer within 0.5 seconds"
