"""The demo's service: what `make up` makes of it can be deployed at once, by a program that is shipped."""

import json
import subprocess
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from deploys.executors import find_executor_class
from deploys.models import MicroService, MicroServiceInstance
from devserver.installation import Installation
from portal.management.commands.demo_data import Command
from tenants.models import User
from tests.factories import InformationSystemFactory


@pytest.fixture
def programs(monkeypatch):
    """The programs of an installation in whose environment nobody has named any."""
    monkeypatch.delenv("DEPLOY_PROGRAMS", raising=False)
    return json.loads(Installation.from_environment().environment["DEPLOY_PROGRAMS"])


@pytest.mark.django_db
def test_the_demo_has_one_service_that_can_be_deployed(programs, settings):
    system = InformationSystemFactory()
    Command().service(system)
    assert not MicroService.objects.exists(), "no program carries it out here"

    settings.DEPLOY_PROGRAMS = programs
    for _ in range(2):
        Command().service(system)

    service = MicroService.objects.get()
    service.full_clean()
    assert [version.is_built for version in service.versions.all()] == [True] * service.last_number
    assert MicroServiceInstance.objects.filter(service=service, status="running").count() == 4
    executor = find_executor_class(service.executor)(programs=programs)
    assert executor.check_settings(service.executor_settings) == {}


@pytest.mark.parametrize(("label", "code"), [("1.1", 0), ("2.1-broken", 16)])
def test_the_demos_program_says_what_it_does_and_knows_a_broken_version(programs, tmp_path, label, code):
    (tmp_path / "sleep").symlink_to("/bin/true")
    told = {"PORTAL_ACTION": "deploy", "PORTAL_VERSION": label, "PORTAL_HOST": "checkout-1"}
    ran = subprocess.run(
        programs["demo"],
        check=False,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", **told},
        capture_output=True,
        text=True,
    )

    assert ran.returncode == code, ran.stderr
    assert Path(programs["demo"][1]).is_file()
    assert "checkout-1" in ran.stdout


@pytest.mark.django_db
def test_production_gets_no_demo_users(settings):
    settings.PRODUCTION = True

    with pytest.raises(CommandError, match="PORTAL_ENV is 'production'"):
        call_command("demo_data")

    assert not User.objects.exists()
