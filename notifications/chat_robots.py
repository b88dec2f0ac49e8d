"""Send messages to the robots of chats: DingTalk, WeCom, Feishu and Lark, Slack, Teams.

Each robot is an https URL with a token in it, at a host of its vendor. Not sent by apprise: for DingTalk and WeCom it takes the
status 200 for success, with which both also answer a wrong token or a wrong signature, and it knows no signatures of Feishu.
"""

from __future__ import annotations

import hmac
import http.client
import json
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import quote_plus, urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from security.connections import AddressRefusedError
from security.http_requests import Answer, InvalidUrlError, parse_url, send_request
from security.policies import receiver_policy

from .message_texts import MessageText
from .single_lines import to_line
from .webhook_requests import READ_BYTES, REQUEST_SECONDS, describe_answer

# Hosts of the vendors, and of Teams the endings of hosts. `CHAT_HOSTS` adds the hosts of private installations.
HOSTS = {
    "oapi.dingtalk.com": "dingtalk",
    "qyapi.weixin.qq.com": "wecom",
    "open.feishu.cn": "feishu",
    "open.larksuite.com": "feishu",
    "hooks.slack.com": "slack",
}
ENDINGS = {
    ".webhook.office.com": "teams",
    ".logic.azure.com": "teams",
    ".api.powerplatform.com": "teams",
}
VENDORS = {
    "dingtalk": "DingTalk",
    "wecom": "WeCom",
    "feishu": "Feishu, Lark",
    "slack": "Slack",
    "teams": "Teams",
}
# WeCom takes 2,048 bytes, the least of all.
MAX_TEXT_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Robot:
    """The robot of a chat: its URL, and the secret with which DingTalk and Feishu check that messages are signed."""

    url: str = field(repr=False)
    secret: str = field(default="", repr=False)

    def send(self, message: MessageText) -> str:
        """Send a message; return what went wrong, "" for nothing. Never raises for what the receiver does."""
        vendor = find_vendor(self.url)
        if vendor is None:
            return "The address is not that of a known robot any more (CHAT_HOSTS)."
        text = cut_bytes(f"{message.title}\n{message.body}", MAX_TEXT_BYTES)
        url, content = _WRITERS[vendor](self.url, self.secret, text)
        body = json.dumps(content, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "portal"}
        try:
            answer = send_request(
                url,
                policy=receiver_policy(),
                seconds=REQUEST_SECONDS,
                max_bytes=READ_BYTES,
                body=body,
                headers=headers,
            )
        except (AddressRefusedError, InvalidUrlError, TimeoutError) as failure:
            return to_line(str(failure))
        except (OSError, http.client.HTTPException) as failure:
            return to_line(f"{type(failure).__name__}: {failure}")
        return to_line(_find_error(answer))


def find_vendor(url: str) -> str | None:
    """Return the vendor of a robot's URL, or None. Plain http is for hosts of `CHAT_HOSTS` alone."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if own := settings.CHAT_HOSTS.get(parts.netloc.lower()) or settings.CHAT_HOSTS.get(host):
        return own if own in VENDORS else None
    if parts.scheme != "https" or parts.port not in {None, 443}:
        return None
    ending = next((vendor for end, vendor in ENDINGS.items() if host.endswith(end)), None)
    return HOSTS.get(host) or ending


def check_robot_url(url: str) -> str:
    """Return why a URL is none of a robot, "" if it is one. Nothing is sent."""
    try:
        parse_url(url)
        vendor = find_vendor(url)
    except ValueError as error:
        return _("Not a valid URL: %(error)s.") % {"error": error}
    if vendor is None:
        known = ", ".join(VENDORS.values())
        return _("Enter the address that the chat shows for its robot: https:// and a host of %(known)s.") % {
            "known": known
        }
    return ""


def cut_bytes(text: str, most: int) -> str:
    """Return a text of at most `most` bytes in UTF-8, cut at a character."""
    encoded = text.encode()
    return text if len(encoded) <= most else encoded[: most - 3].decode(errors="ignore") + "…"


def _write_dingtalk(url: str, secret: str, text: str) -> tuple[str, dict[str, Any]]:
    if secret:
        timestamp = str(round(time.time() * 1000))
        digest = hmac.new(secret.encode(), f"{timestamp}\n{secret}".encode(), sha256).digest()
        url += f"&timestamp={timestamp}&sign={quote_plus(b64encode(digest))}"
    return url, {"msgtype": "text", "text": {"content": text}}


def _write_wecom(url: str, _secret: str, text: str) -> tuple[str, dict[str, Any]]:
    return url, {"msgtype": "text", "text": {"content": text}}


def _write_feishu(url: str, secret: str, text: str) -> tuple[str, dict[str, Any]]:
    content: dict[str, Any] = {"msg_type": "text", "content": {"text": text}}
    if secret:
        timestamp = str(int(time.time()))
        # The vendor's own scheme: the secret is in the key, and the signed message is empty.
        digest = hmac.new(f"{timestamp}\n{secret}".encode(), b"", sha256).digest()
        content |= {"timestamp": timestamp, "sign": b64encode(digest).decode()}
    return url, content


def _write_slack(url: str, _secret: str, text: str) -> tuple[str, dict[str, Any]]:
    # Slack reads these three characters as markup: a name in a message must not become a link or a mention.
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return url, {"text": escaped}


def _write_teams(url: str, _secret: str, text: str) -> tuple[str, dict[str, Any]]:
    card = {
        "type": "AdaptiveCard",
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "version": "1.4",
        "body": [{"type": "TextBlock", "text": line, "wrap": True} for line in text.splitlines() if line],
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return url, {"type": "message", "attachments": [attachment]}


_WRITERS: dict[str, Callable[[str, str, str], tuple[str, dict[str, Any]]]] = {
    "dingtalk": _write_dingtalk,
    "wecom": _write_wecom,
    "feishu": _write_feishu,
    "slack": _write_slack,
    "teams": _write_teams,
}


def _find_error(answer: Answer) -> str:
    """Return why a robot has not taken a message: by the status, and by the code in the body that some answer beside 200."""
    text = answer.body.decode("utf-8", "replace")
    if not 200 <= answer.status < 300:
        return describe_answer(answer.status, answer.body)
    try:
        content = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(content, dict):
        return ""
    code = next((content[name] for name in ("errcode", "code", "StatusCode") if name in content), 0)
    if code in {0, "0"}:
        return ""
    reason = content.get("errmsg") or content.get("msg") or content.get("StatusMessage") or ""
    return f"{code} {reason}"
