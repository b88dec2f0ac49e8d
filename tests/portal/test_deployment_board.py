"""The page of a deployment: its batches, the log of one host, what failed and why, its pause, its end."""

from __future__ import annotations

import re

import pytest
from django.utils import translation
from django.utils.translation import gettext

from api.messages import message
from deploys.executors.contract import Code
from deploys.models import Deployment, DeploymentItem, MicroService
from tasks import engine
from tasks.models import IN_FLIGHT, Job, JobStatus
from tests.working import work

from .deploying import committed, deployed, live, operator, programs, service, text

pytestmark = pytest.mark.django_db

__all__ = ["operator", "programs", "service"]


@committed
def test_a_deployment_is_followed_until_it_has_ended(operator, service):
    deployment = deployed(operator, service, batch="2")
    page = f"/deployments/{deployment.pk}/"
    begun = text(operator.get(page))
    part = text(operator.get(page, headers={"X-Panel": "board"}))

    assert all(live(begun, panel) for panel in ("state", "board", "log"))
    assert "<header " in begun
    assert "<header " not in part
    assert part.strip().startswith('<div class="panel')
    assert "cart-1.2 → cart-1.3" in begun
    assert "Batch 1 of 2" in part
    assert "Batch 2 of 2" in part
    assert [len(cells) for cells in columns_of(part)] == [2, 1]
    assert "0 of 3 updated" in begun
    assert f"/jobs/{deployment.job_id}/" in begun
    assert deployment.operator.username in begun

    work()
    ended = text(operator.get(page))
    assert "data-busy" not in ended
    assert "3 of 3 updated" in ended
    assert (
        ended.count('class="badge good succeeded"') == 5
    )  # the deployment, its three cells, and the chosen one
    assert 'id="cancel"' not in ended
    assert 'id="retry"' not in ended


def columns_of(html):
    """The cells of each batch."""
    sections = re.findall(r'<section id="batch-[0-9]+".*?</section>', html)
    return [re.findall(r'<a class="cell .*?</a>', section) for section in sections]


@committed
def test_a_panel_that_has_not_changed_is_not_sent_again(operator, service):
    deployment = deployed(operator, service, pause="600")
    work_up_to_the_pause(deployment)
    page = f"/deployments/{deployment.pk}/"

    for panel in ("state", "board", "log"):
        first = operator.get(page, headers={"X-Panel": panel})
        again = operator.get(page, headers={"X-Panel": panel, "If-None-Match": first["ETag"]})
        assert (first.status_code, again.status_code) == (200, 304)
        # So that an open form is not closed by a refresh: no panel has one.
        assert "csrfmiddlewaretoken" not in text(first)
        assert "<form" not in text(first)


@committed
def test_the_log_of_a_host_is_shown_beside_the_others_and_downloaded(operator, service):
    deployment = deployed(operator, service)
    work()
    first, second = deployment.items.order_by("pk")[:2]
    DeploymentItem.objects.filter(pk=second.pk).update(log="second <log>\n")
    page = f"/deployments/{deployment.pk}/"

    html = text(operator.get(page))
    assert "running=cart-1.3" in html
    assert f'id="log-{first.pk}"' in html
    assert f'href="{page}items/{first.pk}/log/" download' in html
    chosen = text(operator.get(f"{page}?item={second.pk}"))
    assert "second &lt;log&gt;" in chosen
    assert "running=cart-1.3" not in chosen
    assert f'id="item-{second.pk}" href="?item={second.pk}" aria-current="true"' in chosen
    assert f'id="item-{first.pk}" href="?item={first.pk}" title' in chosen
    for nonsense in ("x", "-1", "9" * 30, "\u0663", str(second.pk + 100)):
        assert f'id="log-{first.pk}"' in text(operator.get(page, {"item": nonsense}))

    saved = operator.get(f"{page}items/{second.pk}/log/")
    assert saved.content == b"second <log>\n"
    assert saved["Content-Type"] == "text/plain; charset=utf-8"
    assert saved["Content-Disposition"] == 'attachment; filename="app-02-127.0.0.2.log"'


@committed
def test_what_goes_on_is_shown_before_what_has_ended_and_failures_before_all(operator, service):
    deployment = deployed(operator, service)
    one, two, three = deployment.items.order_by("pk")
    page = f"/deployments/{deployment.pk}/"
    results = {one: "succeeded", two: "running", three: "waiting"}

    def shown():
        return re.search(r'id="chosen-title">([^<]+)<', text(operator.get(page)))[1]

    for item, result in results.items():
        DeploymentItem.objects.filter(pk=item.pk).update(result=result)
    assert shown() == two.host_name
    DeploymentItem.objects.filter(pk=three.pk).update(result="failed")
    assert shown() == three.host_name


def test_many_hosts_are_shown_in_lines_and_pages(operator, service):
    deployment = deployed(operator, service)
    items = DeploymentItem.objects.filter(deployment=deployment)
    first = items.first()
    DeploymentItem.objects.bulk_create(
        DeploymentItem(
            deployment=deployment,
            host_name=f"more-{number}:10.0.0.1",
            batch=number // 10,
            from_version=first.from_version,
        )
        for number in range(600)
    )
    deployment.batches = 60
    deployment.save()
    page = f"/deployments/{deployment.pk}/"

    html = text(operator.get(page))
    cells = columns_of(html)
    assert sum(map(len, cells)) == 500
    assert 'class="columns compact"' in html
    assert 'class="badge' not in "".join(cells[3])
    assert "Not started" in cells[3][0]
    assert "1–500 of 603" in html
    rest = columns_of(text(operator.get(f"{page}?page=2")))
    assert sum(map(len, rest)) == 103
    assert "&amp;page=2" in rest[0][0]


@committed
def test_what_failed_is_told_and_retried(operator, service):
    MicroService.objects.update(executor_settings={"program": "bad"})
    deployment = deployed(operator, service)
    page = f"/deployments/{deployment.pk}/"
    work()

    html = text(operator.get(page))
    item = deployment.items.exclude(started_at=None).get()
    reason = html.partition('id="reason"')[2].partition("</div>")[0]
    assert "1 of 3 hosts failed." in reason
    assert f'<a href="?item={item.pk}">{item.host_name}</a>' in reason
    assert reason.count("Health check failed") == 1
    assert "it &lt;burns&gt;" in reason
    assert "0 of 3 updated · 1 failed · 2 not started" in html
    assert sum("Not started</span>" in cell for cells in columns_of(html) for cell in cells) == 2
    assert 'id="retry"' in html
    assert "Retry failed hosts" in html
    assert "it &lt;burns&gt;" in html.partition(f'id="log-{item.pk}"')[2]

    MicroService.objects.update(executor_settings={"program": "ok"})
    answer = operator.post(f"{page}retry/", follow=True)
    again = Deployment.objects.get(retry_of=deployment)
    assert answer.redirect_chain == [(f"/deployments/{again.pk}/", 302)]
    assert page in text(answer)
    assert f"/deployments/{again.pk}/" in text(operator.get(page))
    work()
    assert set(service.instances.values_list("version__number", "locked")) == {(3, False)}
    assert "There is no instance to retry." in text(operator.post(f"{page}retry/", follow=True))


def test_a_kind_of_failure_is_told_where_the_message_does_not(operator, service):
    deployment = deployed(operator, service)
    deployment.items.update(result="failed", code="unreachable", message="No route to 127.0.0.1.")

    html = text(operator.get(f"/deployments/{deployment.pk}/"))

    reason = html.partition('id="reason"')[2].partition("</div>")[0]
    assert reason.count("<strong>Host unreachable</strong> No route to 127.0.0.1.") == 3


def test_a_stored_message_is_told_in_the_language_of_its_reader(operator, service):
    """The release before stored it in the language of whoever had it deployed; its label is recognized."""
    deployment = deployed(operator, service)
    one, two, three = deployment.items.order_by("pk")
    stored = {
        one: ("reverted", "unhealthy", "健康检查失败. no answer on 8080"),
        two: ("failed", "unhealthy", "Health check failed. no answer on 8081"),
        three: ("skipped", "", message("Stopped: failure limit reached.")),
    }
    for item, (result, code, said) in stored.items():
        DeploymentItem.objects.filter(pk=item.pk).update(result=result, code=code, message=said)
    page = f"/deployments/{deployment.pk}/"

    english = text(operator.get(page))
    with translation.override("zh-hans"):
        failed, stopped = str(Code.UNHEALTHY.label), gettext("Stopped: failure limit reached.")
    chinese = text(operator.get(page, headers={"Accept-Language": "zh-hans"}))

    assert failed == "健康检查失败"
    for html, label in ((english, "Health check failed"), (chinese, failed)):
        reason = html.partition('id="reason"')[2].partition("</div>")[0]
        assert f"<strong>{label}</strong> no answer on 8080" in reason
        assert f"<strong>{label}</strong> no answer on 8081" in reason
    skipped = text(operator.get(f"{page}?item={three.pk}", headers={"Accept-Language": "zh-hans"}))
    assert stopped != "Stopped: failure limit reached."
    assert stopped in skipped
    assert "Stopped: failure limit" not in skipped


@committed
def test_a_pause_is_told_with_the_time_when_it_ends(operator, service):
    deployment = deployed(operator, service, pause="600")
    page = f"/deployments/{deployment.pk}/"
    assert 'id="pause"' not in text(operator.get(page))
    waiting = work_up_to_the_pause(deployment)

    html = text(operator.get(page))
    at = f"{waiting.not_before:%Y-%m-%d %H:%M} UTC"
    assert re.search(rf"Waiting before batch 2 of 3, which starts <time [^>]*>{at}</time>", html)
    assert re.search(rf'Batch 2 of 3 <small class="hint"><time [^>]*>{at}</time>', html)
    assert html.count(f">{at}</time>") == 2 + html.count(f'Started</dt><dd><time datetime="{at}')

    operator.post(f"{page}cancel/")
    assert 'id="pause"' not in text(operator.get(page))
    work()
    assert 'id="pause"' not in text(operator.get(page))


def work_up_to_the_pause(deployment):
    """The job of the batch that waits."""
    for _round in range(50):
        for job_id in Job.objects.filter(status__in=IN_FLIGHT).values_list("pk", flat=True):
            engine.advance(job_id)
        waiting = Job.objects.filter(
            parent=deployment.job, steps__name="pause", steps__status="waiting"
        ).first()
        if waiting is not None:
            return waiting
    raise AssertionError("no batch waits")


@committed
def test_a_deployment_is_cancelled_and_frees_what_never_began(operator, service):
    deployment = deployed(operator, service)
    page = f"/deployments/{deployment.pk}/"

    assert 'id="cancel"' in text(operator.get(page))
    assert "The deployment is in progress" in text(operator.post(f"{page}retry/", follow=True))
    stopped = text(operator.post(f"{page}cancel/", follow=True))
    assert "Canceling the deployment. No further batch will start." in stopped
    work()

    html = text(operator.get(page))
    assert Job.objects.get(pk=deployment.job_id).status == JobStatus.CANCELLED
    assert 'class="badge warning cancelled"' in html
    assert "data-busy" not in html
    assert not service.instances.filter(locked=True).exists()
    assert "can no longer be canceled" in text(operator.post(f"{page}cancel/", follow=True))


@committed
def test_a_deployment_whose_job_is_gone_is_still_shown(operator, service):
    deployment = deployed(operator, service)
    work()
    Deployment.objects.update(job=None, operator=None)

    page = f"/deployments/{deployment.pk}/"
    assert "3 of 3 updated" in text(operator.get(page))
    assert "task no longer exists" in text(operator.post(f"{page}cancel/", follow=True))
    assert "Succeeded</span>" in text(operator.get("/deployments/"))
