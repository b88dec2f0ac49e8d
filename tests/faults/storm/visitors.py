"""The visitors: each signs in, opens pages and lists, follows links, and signs out, over and over again."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from random import Random

import requests

from .answers import AnswerLog

PASSWORD = "canary-password-of-a-simulated-visitor"
# Typed by mistake before the first visits; not more often, because too many would lock the visitor out.
WRONG_PASSWORD = "canary-password-of-another-account"
WRONG_SIGN_INS = 4
# Requests of one visit, from signing in to signing out.
REQUESTS_PER_VISIT = 40
PAGES = (
    "/overview/",
    "/search/?q=vm",
    "/vms/",
    "/vms/new/",
    "/volumes/",
    "/pools/",
    "/services/",
    "/deployments/",
    "/hosts/",
    "/tasks/",
    "/activity/",
    "/accounts/",
    "/resources/",
    "/sync-logs/",
    "/quota/",
    "/membership/",
    "/systems/",
    "/preferences/",
    "/preferences/tokens/",
    "/preferences/sessions/",
    "/security-groups/",
    "/floating-ips/",
    "/queue/",
    "/admin/",
    "/admin/cloudaccounts/cloudaccount/",
)
LISTS = (
    "/api/v1/vms/",
    "/api/v1/volumes/",
    "/api/v1/jobs/",
    "/api/v1/services/",
    "/api/v1/cloud-accounts/",
    "/api/v1/cloud-resources/",
    "/api/v1/sync-logs/",
    "/api/v1/information-systems/",
    "/api/v1/auth/me",
    "/api/v1/queue/summary/",
)
# Reading a page changes nothing. What goes on sending is left out, and what would end the visit.
_LINK = re.compile(r'href="(/[a-z][^"#?]*)"')
_NOT_FOLLOWED = re.compile(r"/logout/|/events/|/static/|/api/")
_CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


@dataclass
class Visits:
    """The state that all visitors share: the portal's addresses, the log of its answers, and the signal to stop."""

    # Each request is sent to one of them. May be changed while visitors visit.
    urls: list[str]
    answers: AnswerLog
    stopping: threading.Event
    # Between two requests of one visitor.
    pause_seconds: float
    password: str = PASSWORD


class Visitor(threading.Thread):
    """One person with a browser."""

    def __init__(self, username: str, visits: Visits, seed: int) -> None:
        super().__init__(name=f"visitor-{username}", daemon=True)
        self.username, self.visits = username, visits
        self.dice = Random(f"{seed}/{username}")
        self.sign_ins = self.wrong_sign_ins = 0

    def run(self) -> None:
        """Visit the portal until `stopping` is set."""
        while not self.visits.stopping.is_set():
            with requests.Session() as session:
                session.trust_env = False
                if self._sign_in(session):
                    self.sign_ins += 1
                    self._look_around(session)
                    self._get(session, "/preferences/")
                    self._post_form(session, "/logout/", "/vms/", {})
            self._pause()

    def _sign_in(self, session: requests.Session) -> bool:
        if self.wrong_sign_ins < WRONG_SIGN_INS:
            self.wrong_sign_ins += 1
            self._post_form(
                session, "/login/", "/login/", {"username": self.username, "password": WRONG_PASSWORD}
            )
        fields = {"username": self.username, "password": self.visits.password}
        answer = self._post_form(session, "/login/", "/login/", fields)
        return answer is not None and answer.ok and "sessionid" in session.cookies

    def _look_around(self, session: requests.Session) -> None:
        links: list[str] = []
        for _ in range(REQUESTS_PER_VISIT):
            if not self._pause():
                return
            choice = self.dice.random()
            if choice < 0.3:
                self._get(session, self.dice.choice(LISTS))
                continue
            path = self.dice.choice(links) if links and choice < 0.6 else self.dice.choice(PAGES)
            answer = self._get(session, path)
            if answer is not None and answer.ok:
                found = sorted(set(_LINK.findall(answer.text)))
                links = [link for link in found if not _NOT_FOLLOWED.search(link)]

    def _get(self, session: requests.Session, path: str) -> requests.Response | None:
        return self.visits.answers.send(session, "GET", f"{self._choose_url()}{path}")

    def _post_form(
        self, session: requests.Session, path: str, page: str, fields: dict[str, str]
    ) -> requests.Response | None:
        """Load the page with the form, and submit the form. Returns None if the page did not come."""
        form = self._get(session, page)
        token = _CSRF.search(form.text) if form is not None and form.ok else None
        if token is None:
            return None
        data = {**fields, "csrfmiddlewaretoken": token[1]}
        return self.visits.answers.send(session, "POST", f"{self._choose_url()}{path}", data=data)

    def _choose_url(self) -> str:
        return self.dice.choice(self.visits.urls)

    def _pause(self) -> bool:
        """Pause, and return whether the visit goes on."""
        return not self.visits.stopping.wait(self.visits.pause_seconds * (0.5 + self.dice.random()))


def create_visitors(visits: Visits, seed: int, *, role: str) -> list[Visitor]:
    """Create a member of the tenant `storm` and a platform administrator, who do not visit yet."""
    from tenants.models import Membership, Tenant, User

    tenant = Tenant.objects.get(slug="storm")
    member = User.objects.create_user("visitor", password=visits.password)
    Membership.objects.create(user=member, tenant=tenant, role=role)
    User.objects.create_superuser("platform-visitor", password=visits.password)
    return [Visitor(name, visits, seed) for name in ("visitor", "platform-visitor")]
