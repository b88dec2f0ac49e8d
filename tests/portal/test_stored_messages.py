"""What a worker has written is read by each person in their own language: in the API, on pages, as events, in files."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.test import Client
from django.utils import timezone, translation
from rest_framework.test import APIClient

from api.csv_responses import csv_response
from api.messages import MARK, decode_message, encode_message, join_messages
from api.messages import message as _
from cloudaccounts.commands import VerifyAccountCommand
from cloudaccounts.models import CloudAccount, SyncLogLine
from cloudaccounts.sync.resources import sync_resource
from deploys.executors import Outcome
from deploys.executors.addresses import check_host_address
from deploys.executors.ansible_progress import Progress
from deploys.executors.contract import Code, ExecutorError, Order, Release, Target
from deploys.models import DeploymentItem
from tasks import engine
from tasks.command import Done, Failed, Failure, Wait
from tasks.models import Job, JobLogLine, Step
from tenants.scoping import Role
from tests.factories import (
    CloudAccountFactory,
    DeploymentItemFactory,
    MembershipFactory,
    UserFactory,
    VirtualMachineFactory,
    VolumePoolFactory,
)
from tests.tasks import external_system
from tests.tasks.external_system import BuildHouseCommand, BuildVillageCommand
from tests.working import work
from vms.models import VirtualMachine, VMOperationLog, VMStatus
from volumepool.commands.spares import pause_pool
from volumepool.models import VolumePool

CHINESE = "zh-hans"
committed = pytest.mark.django_db(transaction=True)
pytestmark = pytest.mark.django_db

LAST = "The cloud last reported %s."
ENGLISH_LAST, CHINESE_LAST = "The cloud last reported ERROR.", "云平台最近返回的状态为 ERROR。"


@pytest.fixture(autouse=True)
def _no_language_is_left():
    """A request's language stays with its thread until the next one."""
    external_system.reset()
    yield
    translation.deactivate()


def api(user: Any, language: str) -> APIClient:
    client = APIClient(headers={"accept-language": language})
    client.force_login(user)
    return client


def page(user: Any, language: str, address: str) -> str:
    client = Client(headers={"accept-language": language})
    client.force_login(user)
    answer = client.get(address)
    assert answer.status_code == 200, answer
    return b"".join(answer).decode()


# --- Jobs --------------------------------------------------------------------------------------------------


@committed
@pytest.mark.parametrize("starter", ["en", CHINESE])
def test_a_failed_job_is_read_in_the_language_of_its_reader(starter):
    operator = MembershipFactory(role=Role.OPERATOR)
    # Its account has no password, which the cloud client says in English.
    vm = VirtualMachineFactory(information_system__tenant=operator.tenant, status=VMStatus.RUNNING)
    answer = api(operator.user, starter).post(
        f"/api/v1/vms/{vm.pk}/actions/", {"action": "stop"}, format="json"
    )
    job_id = answer.json()["job"]["id"]
    with translation.override(starter):  # The worker's own language does not matter.
        engine.advance(uuid.UUID(job_id))

    for reader, begin in (
        ("en", "The cloud refused the request: A user"),
        (CHINESE, "云平台拒绝了请求：A user"),
    ):
        shown = api(operator.user, reader).get(f"/api/v1/jobs/{job_id}/").json()
        assert shown["outcome"]["message"].startswith(begin)
        assert shown["steps"][0]["message"] == shown["outcome"]["message"]
        log = api(operator.user, reader).get(f"/api/v1/vms/{vm.pk}/operations/").json()["results"]
        assert [entry["detail"] for entry in log] == [
            f"{shown['outcome']['code']}: {shown['outcome']['message']}"
        ]
        assert begin in page(operator.user, reader, f"/jobs/{job_id}/")
        assert begin in page(operator.user, reader, f"/vms/{vm.pk}/log/")
        assert begin in page(operator.user, reader, "/tasks/")
        events = page(operator.user, reader, f"/jobs/{job_id}/events/")
        [sent] = [json.loads(line[6:]) for line in events.splitlines() if line.startswith('data: {"id":"')]
        assert sent["outcome"] == shown["outcome"]
        assert sent["steps"][0]["message"] == shown["steps"][0]["message"]

    # Its column still is one that can be asked about.
    jobs = Job.objects.filter(pk=job_id)
    assert jobs.filter(outcome_message__icontains="refused the request").exists()
    assert not jobs.filter(outcome_message="").exists()
    with translation.override(CHINESE):
        (message,) = jobs.values_list("outcome_message", flat=True)
        assert message.startswith("云平台拒绝了请求：")
        assert jobs.filter(outcome_message=message).exists()
        assert jobs.annotate(text=F("outcome_message")).get().text == message


@committed
def test_a_tree_hands_the_message_of_its_child_upwards_with_titles_of_each_reader():
    operator = MembershipFactory(role=Role.OPERATOR)
    external_system.replies["raise one"] = [Failed("refused", _(LAST) % "ERROR")]
    with transaction.atomic():
        job = engine.submit(BuildVillageCommand(["one"]), tenant=operator.tenant, user=operator.user).job
    work()

    for language, expected in (("en", ENGLISH_LAST), (CHINESE, CHINESE_LAST)):
        shown = api(operator.user, language).get(f"/api/v1/jobs/{job.pk}/").json()
        lines = api(operator.user, language).get(f"/api/v1/jobs/{job.pk}/lines/").json()["results"]
        assert shown["outcome"]["message"].endswith(f": {expected}")
        line = lines[-1]["message"]
        assert line.endswith(expected)
        assert line.startswith("Rolling back: " if language == "en" else "正在回滚")


@committed
@pytest.mark.parametrize("text", ["plain", f"{MARK}Canceled.", "%s %(x)s", "x\x00\ud800"])
def test_a_command_may_return_a_plain_text(text):
    external_system.replies["lay"] = [Wait(0, text), Done(text)]
    external_system.replies["wall"] = [Failed("refused", text)]
    with transaction.atomic():
        job = engine.submit(BuildHouseCommand()).job
    work()

    expected = text.replace(MARK, "\ufffd").replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    with translation.override(CHINESE):
        assert Job.objects.get(pk=job.pk).outcome_message == expected
        assert Step.objects.get(job=job, name="lay").message == expected


@committed
def test_a_stuck_job_keeps_its_message_and_gives_it_back():
    external_system.replies["lay"] = [Failed("refused", _(LAST) % "ERROR")]
    with transaction.atomic():
        job = engine.submit(BuildHouseCommand()).job
    external_system.replies["unlay"] = [RuntimeError("a bug")] * 50
    for _number in range(30):
        Job.objects.filter(pk=job.pk).update(not_before=timezone.now())
        engine.advance(job.pk)
    job.refresh_from_db()
    assert job.status == "stuck"
    with transaction.atomic():
        engine.resume(engine.lock_for_decision(job, "resume"), UserFactory(), "try")

    with translation.override(CHINESE):
        assert Job.objects.get(pk=job.pk).outcome_message == CHINESE_LAST


def test_the_admin_shows_a_job_in_the_language_of_its_reader():
    job = Job.objects.create(kind="vms.stop", deadline=timezone.now(), outcome_message=_(LAST) % "ERROR")
    staff = UserFactory(is_superuser=True, is_staff=True)

    for language, expected in (("en", ENGLISH_LAST), (CHINESE, CHINESE_LAST)):
        assert expected in page(staff, language, f"/admin/tasks/job/{job.pk}/change/")


def test_messages_of_the_release_before_are_shown_as_they_are():
    operator = MembershipFactory(role=Role.OPERATOR)
    vm = VirtualMachineFactory(information_system__tenant=operator.tenant)
    job = Job.objects.create(
        kind="vms.stop",
        tenant=operator.tenant,
        status="failed",
        ended_at=timezone.now(),
        deadline=timezone.now(),
        outcome_code="failed",
    )
    log = VMOperationLog.objects.create(
        tenant=operator.tenant, vm_id=vm.pk, vm_name=vm.name, operation="stop", success=False
    )
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tasks_job SET outcome_message = '已取消。' WHERE id = %s", [job.pk])
        cursor.execute("UPDATE vms_vmoperationlog SET detail = 'failed: 已取消。' WHERE id = %s", [log.pk])

    for language in ("en", CHINESE):
        client = api(operator.user, language)
        assert client.get(f"/api/v1/jobs/{job.pk}/").json()["outcome"]["message"] == "已取消。"
        (entry,) = client.get(f"/api/v1/vms/{vm.pk}/operations/").json()["results"]
        assert entry["detail"] == "failed: 已取消。"


def test_many_rows_are_written_and_read_at_once(django_assert_num_queries):
    job = Job.objects.create(kind="vms.stop", deadline=timezone.now())
    with django_assert_num_queries(2):
        lines = JobLogLine.objects.bulk_create(
            [JobLogLine(job=job, message=_(LAST) % f"S{number}") for number in range(3)]
        )
        for line in lines:
            line.message = join_messages([line.message, _("Canceled.")])
        JobLogLine.objects.bulk_update(lines, ["message"])
    JobLogLine.objects.filter(pk=lines[0].pk).update(message=F("message"))

    with translation.override(CHINESE), django_assert_num_queries(1):
        texts = JobLogLine.objects.filter(job=job).order_by("pk").values_list("message", flat=True)
        assert list(texts) == [f"云平台最近返回的状态为 S{number}。 已取消。" for number in range(3)]


def test_a_file_is_in_the_language_of_who_asked_for_it():
    job = Job.objects.create(kind="vms.stop", deadline=timezone.now())
    JobLogLine.objects.create(job=job, message=_(LAST) % "ERROR")
    with translation.override(CHINESE):
        answer = csv_response("lines", ("level", "message"), JobLogLine.objects.all(), lambda: True)
    translation.activate("en")

    assert CHINESE_LAST in b"".join(answer.streaming_content).decode()


# --- The other rooms ---------------------------------------------------------------------------------------


def test_the_error_of_an_account_is_read_in_the_language_of_its_reader():
    admin = MembershipFactory(role=Role.ADMIN)
    account = CloudAccountFactory(tenant=admin.tenant)
    with translation.override(CHINESE):
        reason = _("Sign-in to the cloud failed: %(reason)s") % {"reason": "HTTP 401"}
        VerifyAccountCommand(account.pk).on_failure(Failure("failed", "cloud_error", reason))

    for language, expected in (("en", "Sign-in to the cloud failed: HTTP 401"), (CHINESE, "登录云平台失败")):
        shown = api(admin.user, language).get(f"/api/v1/cloud-accounts/{account.pk}/").json()
        assert shown["last_error"].startswith(expected)
        assert expected in page(admin.user, language, f"/accounts/{account.pk}/")
    assert not CloudAccount.objects.filter(last_error="").exists()


@committed
def test_a_sync_is_read_in_the_language_of_its_reader():
    admin = MembershipFactory(role=Role.ADMIN)
    account = CloudAccountFactory(tenant=admin.tenant, provider="unicorn")
    with translation.override(CHINESE):
        log = sync_resource(account.pk, "server")

    for language, expected in (
        ("en", "The cloud type 'unicorn' is not installed."),
        (CHINESE, "未安装云类型“unicorn”。"),
    ):
        client = api(admin.user, language)
        assert client.get(f"/api/v1/sync-logs/{log.pk}/").json()["message"] == expected
        (line,) = client.get(f"/api/v1/sync-logs/{log.pk}/lines/").json()["results"]
        assert line["text"] == (
            f"Ended: failed. {expected}" if language == "en" else f"已结束：失败。{expected}"
        )
        assert line["text"] in page(admin.user, language, f"/sync-logs/{log.pk}/").replace("&#x27;", "'")
        assert line["text"] in page(admin.user, language, f"/sync-logs/{log.pk}/log.txt")
    with translation.override(CHINESE):
        log.regions = {"One": _(LAST) % "ERROR", "Two": ""}
        log.save()
        log.refresh_from_db()
        assert log.regions == {"One": CHINESE_LAST, "Two": ""}
    SyncLogLine.objects.update(
        code="ended", params={"state": "failed", "words": "No."}, text="Ended: failed. No."
    )
    (line,) = api(admin.user, CHINESE).get(f"/api/v1/sync-logs/{log.pk}/lines/").json()["results"]
    assert line["text"].startswith("已结束：失败。")


def test_the_errors_of_a_pool_are_read_in_the_language_of_their_reader():
    staff = UserFactory(is_staff=True, is_superuser=True)
    pool = VolumePoolFactory()
    pause_pool(pool.pk, _(LAST) % ("ERROR" + "x" * 10_000))
    VolumePool.objects.update(
        source_error=_("No available snapshot matches '%(source)s'.") % {"source": "gold"}
    )

    for language, error, problem in (
        ("en", ENGLISH_LAST, "No available snapshot matches 'gold'."),
        (CHINESE, CHINESE_LAST, "没有与“gold”匹配的可用快照。"),
    ):
        shown = api(staff, language).get(f"/api/v1/volume-pools/{pool.pk}/").json()
        assert shown["last_error"].startswith(error[:-1])
        assert len(shown["last_error"]) <= 4100
        assert shown["source_error"] == problem


def test_a_host_that_was_not_begun_is_explained_in_the_language_of_the_reader():
    item = DeploymentItemFactory(
        result=DeploymentItem.Result.SKIPPED, code="cancelled", message=_("Canceled before it started.")
    )
    viewer = MembershipFactory(role=Role.VIEWER, tenant=item.deployment.service.information_system.tenant)

    for language, expected in (("en", "Canceled before it started."), (CHINESE, "开始前已取消。")):
        shown = api(viewer.user, language).get(f"/api/v1/deployments/{item.deployment_id}/").json()
        assert expected in json.dumps(shown, ensure_ascii=False)
        assert expected in page(viewer.user, language, f"/deployments/{item.deployment_id}/")


def test_an_executor_returns_a_message_whose_secrets_are_masked():
    order = Order(
        target=Target("host", "10.0.0.1", "app", "cart", 80, "/srv/cart"),
        release=Release("1.0", "https://artifacts.example.org/a.tar.gz?signature=s3cr3t-signature", "0" * 64),
    )
    progress = Progress("host", order, lambda _line: None)
    progress.read(json.dumps({"event": "text", "text": "s3cr3t-signature is wrong\x1b[31m"}))
    outcome = progress.outcome(None)
    stored = encode_message(outcome.message)

    assert "s3cr3t" not in stored
    with translation.override(CHINESE):
        assert decode_message(stored).startswith("失败. Ansible ")
        assert "Ansible ended" not in decode_message(stored)
    assert decode_message(stored).startswith("Failed. Ansible ended before the playbook did. ")
    assert Outcome(Code.FAILED, {"a": "dictionary"}).message == '{"a": "dictionary"}'


def test_a_refused_address_of_a_host_is_explained_in_the_language_of_the_reader():
    with pytest.raises(ExecutorError) as refused:
        check_host_address("169.254.169.254", allow_local=False, port=22)
    stored = encode_message(refused.value.message)

    assert decode_message(stored).startswith("Hosts are not allowed there: 169.254.169.254 is ")
    with translation.override(CHINESE):
        assert " is " not in decode_message(stored)


def test_the_fault_of_a_vm_that_is_gone_is_read_in_the_language_of_the_reader():
    viewer = MembershipFactory(role=Role.VIEWER)
    vm = VirtualMachineFactory(information_system__tenant=viewer.tenant)
    VirtualMachine.objects.filter(pk=vm.pk).update(fault=_("Not found in the last syncs."))

    shown = {
        language: api(viewer.user, language).get(f"/api/v1/vms/{vm.pk}/").json()["fault"]
        for language in ("en", CHINESE)
    }
    assert shown["en"] == "Not found in the last syncs."
    assert shown[CHINESE] not in {"", shown["en"]}
