"""User data: what is accepted, and how the parts are joined; templates of it."""

from __future__ import annotations

import email
import gzip
import random

import pytest
import yaml
from rest_framework.test import APIClient

from openstack_client.validation import MAX_USER_DATA_BYTES
from tenants.scoping import Role
from tests.factories import MembershipFactory
from vms import user_data
from vms.models import UserDataTemplate
from vms.serializers.logins import UserDataField
from vms.user_data import UserDataError, build_user_data

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
URL = "/api/v1/user-data-templates/"


def parts_of(content):
    message = email.message_from_string(content.decode())
    return [
        (part.get_content_type(), part.get_payload(decode=True).decode()) for part in message.get_payload()
    ]


def test_the_limit_is_that_of_the_cloud():
    assert user_data.NOVA_MAX_BYTES == MAX_USER_DATA_BYTES


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("#cloud-config\npackages: [git]\n", "text/cloud-config"),
        ("#!/bin/sh\necho a\n", "text/x-shellscript"),
        ("\n\n  #!/usr/bin/python3\n", "text/x-shellscript"),
        ("#include\nhttps://example.org/a\n", "text/x-include-url"),
        ("#include-once\nhttps://example.org/a\n", "text/x-include-once-url"),
        ("## template: jinja\n#cloud-config\n", "text/jinja2"),
        ("#cloud-config-archive\n- {}\n", "text/cloud-config-archive"),
        ("#cloud-boothook\necho\n", "text/cloud-boothook"),
        ("#part-handler\n", "text/part-handler"),
        ("#ps1_sysnative\nGet-Date\n", "text/x-shellscript"),
        ("#!/bin/sh\necho 你好 ÄÖ 😀\n", "text/x-shellscript"),
        ("#!/bin/sh\n--portal-boundary\nContent-Type: text/plain\n\n", "text/x-shellscript"),
    ],
)
def test_each_kind_is_a_part_of_its_own_type_and_is_not_changed(text, kind):
    content = build_user_data([KEY], text)

    first, second = parts_of(content)
    assert first == (kind, text)
    assert second[0] == "text/cloud-config"
    assert yaml.safe_load(second[1])["ssh_authorized_keys"] == [KEY]
    assert content == build_user_data([KEY], text), "the same for a repeated request"


def test_the_portals_part_does_not_replace_lists_of_the_persons_own():
    own = "#cloud-config\nssh_authorized_keys: [theirs]\n"

    config = yaml.safe_load(parts_of(build_user_data([KEY], own))[1][1])

    assert config["merge_type"] == "list(append)+dict(no_replace,recurse_list)+str()"


@pytest.mark.parametrize(
    ("text", "users"), [("", ["default", "deploy"]), ("#cloud-config\nusers: [ann]\n", ["deploy"])]
)
def test_the_deploy_key_is_for_the_user_deploy(text, users):
    content = build_user_data([], text, deploy_key=KEY)

    config = yaml.safe_load(parts_of(content)[1][1] if text else content)
    assert [user if isinstance(user, str) else user["name"] for user in config["users"]] == users
    assert config["users"][-1]["ssh_authorized_keys"] == [KEY]


def test_a_script_that_mentions_mime_is_not_taken_for_a_message():
    """cloud-init searches the beginning of user data for that header, and would find no part in it."""
    script = "#!/bin/sh\nprintf 'MIME-Version: 1.0' | sendmail ann\n"

    assert parts_of(build_user_data([], script)) == [("text/x-shellscript", script)]
    assert build_user_data([], "#!/bin/sh\n") == b"#!/bin/sh\n"


BAD = {
    "MIME header": ("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=a\n", "MIME"),
    "Content-Type first": ("Content-Type: text/cloud-config\n\n#cloud-config\n", "MIME"),
    "mbox": ("From nobody Fri Jan 11 07:00:00 1980\nContent-Type: text/plain\n", "MIME"),
    "unknown kind": ("packages: [git]\n", "first line"),
    "64 kB + 1": ("#!" + "x" * 65_535, "65537"),
    "64 kB in UTF-8": ("#!" + "ä" * 32_768, "65538"),
    "compressed": ("\x1f\x8b\x08\x00binary", "control character"),
    "NUL": ("#!/bin/sh\n\x00", "control character"),
    "lone surrogate": ("#!/bin/sh\n\ud800", "control character"),
    "number": (5, "text"),
    "list": (["#!/bin/sh"], "text"),
    "object": ({"a": "b"}, "text"),
}


@pytest.mark.parametrize(("text", "reason"), BAD.values(), ids=BAD)
def test_bad_user_data_is_refused_without_repeating_it(text, reason):
    from rest_framework.exceptions import ValidationError

    with pytest.raises(ValidationError) as refused:
        UserDataField().run_validation(text)

    (message,) = refused.value.detail
    assert reason in message
    assert not isinstance(text, str) or text[:40] not in message


def test_what_is_too_large_even_when_compressed_is_refused():
    noise = random.Random(1)
    text = "#!/bin/sh\n# " + "".join(
        noise.choice("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLM+/") for _ in range(65_500)
    )
    words = "#!/bin/sh\n" + "echo hello\n" * 5_000

    assert gzip.decompress(build_user_data([], words)).decode() == words
    assert parts_of(gzip.decompress(build_user_data([KEY], words)))[0][1] == words
    with pytest.raises(UserDataError, match="too large"):
        build_user_data(
            [KEY] * 20, "#!/bin/sh\n" + "".join(chr(0x4E00 + noise.randrange(20_000)) for _ in range(21_800))
        )
    assert text


@pytest.fixture
def client(db):
    client = APIClient()
    client.member = MembershipFactory(role=Role.ADMIN)
    client.force_authenticate(client.member.user)
    return client


SCRIPT = "#!/bin/sh\necho s3cr3t\n"


def test_a_template_is_kept_encrypted_and_shown_to_administrators_alone(client):
    made = client.post(URL, {"name": "web", "text": SCRIPT}, format="json")
    path = f"{URL}{made.json()['id']}/"
    operator = APIClient()
    operator.force_authenticate(MembershipFactory(tenant=client.member.tenant, role=Role.OPERATOR).user)

    assert made.status_code == 201
    assert "s3cr3t" not in made.content.decode() + client.get(URL).content.decode()
    assert client.get(path).json()["text"] == SCRIPT
    assert "s3cr3t" not in UserDataTemplate.objects.get().encrypted_text
    assert operator.get(URL).json()["count"] == 1
    assert operator.get(path).status_code == 403


def test_a_template_that_was_changed_meanwhile_is_not_overwritten(client):
    path = f"{URL}{client.post(URL, {'name': 'web', 'text': SCRIPT}, format='json').json()['id']}/"
    etag = client.get(path)["ETag"]

    first = client.patch(path, {"text": "#cloud-config\n"}, format="json", headers={"If-Match": etag})
    second = client.patch(path, {"name": "late"}, format="json", headers={"If-Match": etag})

    assert (first.status_code, second.status_code) == (200, 412)
    assert client.get(path).json()["text"] == "#cloud-config\n"


def test_bad_templates_are_refused_by_field(client):
    client.post(URL, {"name": "web", "text": SCRIPT}, format="json")

    for body, field in (
        ({"name": "web", "text": SCRIPT}, "name"),
        ({"name": "", "text": SCRIPT}, "name"),
        ({"name": "new", "text": "hello"}, "text"),
        ({"name": "new", "text": ""}, "text"),
        ({"name": "new"}, "text"),
    ):
        answer = client.post(URL, body, format="json")
        assert answer.status_code == 400, body
        assert list(answer.json()["errors"]) == [field]
    assert UserDataTemplate.objects.count() == 1
