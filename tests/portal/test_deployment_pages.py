"""The form of an upgrade or a revert."""

from __future__ import annotations

import re
import uuid

import pytest

from deploys.models import Deployment
from tenants.scoping import Role
from tests.working import work

from .deploying import (
    a_service,
    committed,
    deployed,
    entries,
    form_of,
    nothing_was_written,
    operator,
    programs,
    rows_of,
    service,
    text,
    version,
    viewer,
)

pytestmark = pytest.mark.django_db


__all__ = ["operator", "programs", "service", "viewer"]

# --- The form ----------------------------------------------------------------------------------------------


def options_of(html):
    """The versions that are offered, each with what stands in its tag."""
    select = html.partition('id="dest-version"')[2].partition("</select>")[0]
    return {label: tag for tag, label in re.findall(r"<option ([^>]*)>([^ ]+) ", select)}


def options_of_text(html):
    select = html.partition('id="dest-version"')[2].partition("</select>")[0]
    return dict(re.findall(r"<option [^>]*>([^ ]+) (.*?)</option>", select))


def box_of(html, instance):
    return re.search(rf'<input type="checkbox" id="host-{instance.host_id}"[^>]*>', html)[0]


def test_the_form_offers_the_right_side_and_proposes_the_nearest(operator, tenant, programs):
    service = a_service(tenant, versions=6)
    upgrade = options_of(text(operator.get(form_of(service))))
    revert = options_of(text(operator.get(form_of(service, "revert"))))

    assert list(upgrade) == [f"cart-1.{number}" for number in (5, 4, 3, 2, 1)]
    assert [label for label, tag in upgrade.items() if "disabled" not in tag] == [
        "cart-1.5",
        "cart-1.4",
        "cart-1.3",
    ]
    assert "selected" in upgrade["cart-1.5"]
    assert [label for label, tag in revert.items() if "disabled" not in tag] == ["cart-1.1"]
    assert "selected" in revert["cart-1.1"]


@committed
def test_a_revert_proposes_what_ran_before(operator, tenant, programs):
    service = a_service(tenant, versions=6)
    service.instances.update(version=version(service, 1))
    answer = operator.post(
        form_of(service, number=1), entries(service, dest_version=str(version(service, 4).pk))
    )
    assert answer.status_code == 302
    work()

    html = text(operator.get(form_of(service, "revert", 4)))

    assert "selected" in options_of(html)["cart-1.1"]
    assert "· previous" in options_of_text(html)["cart-1.1"]


def test_hosts_that_are_held_cannot_be_ticked_and_say_why(operator, service):
    one, two, three = service.instances.order_by("host__hostname")
    deployment = deployed(operator, service, hosts=[str(two.host_id)])
    service.instances.filter(pk=three.pk).update(is_maintain=True)

    html = text(operator.get(form_of(service)))

    assert "disabled" not in box_of(html, one)
    for held in (two, three):
        assert "disabled" in box_of(html, held)
        assert f'aria-describedby="why-{held.host_id}"' in box_of(html, held)
    reasons = dict(re.findall(r'<td class="why" id="why-([0-9a-f-]+)">(.*?)</td>', html))
    assert f"Locked by a deployment of {deployment.operator.username}</a>" in reasons[str(two.host_id)]
    assert "Under maintenance" in reasons[str(three.host_id)]


def test_a_plan_shows_the_batches_and_writes_nothing(operator, service):
    answer = operator.post(form_of(service), entries(service, batch="67%", pause="7", dry_run="true"))

    plan = text(answer).partition('id="the-plan"')[2].partition("</section>")[0]
    assert answer.status_code == 200
    batches = [re.findall(r"app-0[0-9]:127.0.0.[0-9]", row) for row in rows_of(plan)]
    assert [len(batch) for batch in batches] == [2, 1]
    assert {host for batch in batches for host in batch} == {f"app-0{n}:127.0.0.{n}" for n in (1, 2, 3)}
    assert "cart-1.2 → cart-1.3" in plan
    assert "Batches of 67% · 7 s pause" in plan
    assert nothing_was_written()
    # What was entered is still there, to be deployed by the other button.
    html = text(answer)
    assert 'value="67%"' in html
    assert 'name="pause" min="0" max="43200" value="7"' in html


WRONG = [
    ({"dest_version": ""}, 400, "dest-version", "Select a version."),
    ({"dest_version": "nonsense"}, 400, "dest-version", "Select a version."),
    ({"hosts": []}, 400, "hosts", "Select at least one host."),
    ({"hosts": ["nonsense"]}, 400, "hosts", "Select at least one host."),
    ({"hosts": [str(uuid.uuid4())]}, 400, "hosts", "These hosts do not run version"),
    ({"batch": "0"}, 400, "batch", "A number of at least 1, or a share such as 25%."),
    ({"batch": "101%"}, 400, "batch", "A number of at least 1, or a share such as 25%."),
    ({"batch": "1\x00"}, 400, "batch", "A number of at least 1, or a share such as 25%."),
    ({"batch": "\u0663"}, 400, "batch", "A number of at least 1, or a share such as 25%."),
    ({"pause": "-1"}, 400, "pause", "A whole number from 0 to 43200."),
    ({"pause": "43201"}, 400, "pause", "A whole number from 0 to 43200."),
    ({"max_failures": "many"}, 400, "max-failures", "A whole number from 0 to 1000."),
]


@pytest.mark.parametrize("dry_run", [{}, {"dry_run": "true"}])
@pytest.mark.parametrize(("changed", "status", "field", "words"), WRONG)
def test_what_is_wrong_is_said_beside_its_field(operator, service, changed, status, field, words, dry_run):
    entered = entries(service, **{"batch": "2", "pause": "11", "max_failures": "12"} | changed | dry_run)
    del entered["auto_revert"]

    answer = operator.post(form_of(service), entered)

    html = text(answer)
    assert answer.status_code == status
    beside = html.partition(f'id="{field}"')[2].partition('class="field-error')
    # The control names the error as its description.
    assert f'{field}-error"' in html.partition(f'id="{field}-error"')[0]
    assert f'id="{field}-error"' in html
    assert words in beside[2].partition("</small>")[0]
    assert '<div class="message' not in html
    assert nothing_was_written()
    for name in {"pause", "max_failures"} - set(changed):
        assert f'value="{entered[name]}"' in html
    assert not re.search(r'name="auto_revert" value="true" checked', html)


def test_all_that_is_wrong_is_said_at_once(operator, service):
    answer = operator.post(form_of(service), {"batch": "x", "pause": "", "max_failures": ""})

    assert text(answer).count('class="field-error') == 5


def test_a_version_of_the_wrong_side_is_refused_beside_it(operator, service):
    answer = operator.post(form_of(service), entries(service, dest_version=str(version(service, 1).pk)))

    assert answer.status_code == 409
    assert "is not higher than" in text(answer).partition('id="dest-version"')[2].partition("</fieldset>")[0]
    assert nothing_was_written()


def test_a_version_without_an_artifact_is_refused_beside_it(operator, service):
    service.versions.filter(number=3).update(artifact_url="")

    answer = operator.post(form_of(service), entries(service))

    assert answer.status_code in {400, 409}
    assert 'class="field-error"' in text(answer).partition('id="dest-version"')[2].partition("</fieldset>")[0]


def test_hosts_that_were_taken_meanwhile_are_named_and_nothing_is_lost(operator, as_role, service):
    one, two, three = service.instances.order_by("host__hostname")
    holder = deployed(as_role(Role.OPERATOR), service, hosts=[str(one.host_id)])
    service.instances.filter(pk=two.pk).update(is_maintain=True)

    answer = operator.post(form_of(service), entries(service, batch="3", pause="9"))

    html = text(answer)
    beside = html.partition('id="hosts"')[2].partition("<table>")[0]
    assert answer.status_code == 409
    assert f"app-01:127.0.0.1 is locked by deployment {holder.pk}, started by" in beside
    assert "app-02:127.0.0.2 is under maintenance." in beside
    assert "checked" in box_of(html, three)
    assert 'name="batch" value="3"' in html
    assert Deployment.objects.count() == 1


def test_what_the_engine_refuses_is_said_above_the_form(operator, service, monkeypatch):
    from api.domain_errors import ConflictError

    def busy(**_asked):
        raise ConflictError("busy", "It is being changed by another job.")

    monkeypatch.setattr("deploys.pages.version_change.deploy", busy)

    answer = operator.post(form_of(service), entries(service, batch="3"))

    assert answer.status_code == 409
    assert "It is being changed by another job.</div>" in text(answer)
    assert 'name="batch" value="3"' in text(answer)


def test_a_second_click_is_refused(operator, service):
    deployed(operator, service)

    assert operator.post(form_of(service), entries(service)).status_code == 409
    assert Deployment.objects.count() == 1


@committed
def test_only_what_is_ticked_is_deployed_as_was_entered(operator, service):
    one, _two, three = service.instances.order_by("host__hostname")
    wanted = entries(service, hosts=[str(one.host_id), str(three.host_id)], batch="50%", max_failures="1")
    del wanted["auto_revert"]

    operator.post(form_of(service), wanted)

    deployment = Deployment.objects.get()
    assert deployment.strategy == {"batch": "50%", "pause": 0, "max_failures": 1, "auto_revert": False}
    assert {item.instance_id for item in deployment.items.all()} == {one.pk, three.pk}
    work()
    assert set(service.instances.values_list("host__hostname", "version__number")) == {
        ("app-01", 3),
        ("app-02", 2),
        ("app-03", 3),
    }
