"""A click, its job and the requests to the cloud are one trace, which an OTLP receiver gets."""

from __future__ import annotations

import importlib.util
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from django.core.exceptions import ImproperlyConfigured

from api.tracing import continue_trace, current_traceparent
from portal.tracing import start_tracing
from tasks.models import Job
from tenants.scoping import Role
from tests.factories import InformationSystemFactory, MembershipFactory, VirtualMachineFactory
from tests.web_processes import start_web_process
from tests.working import wait_for

IS_INSTALLED = importlib.util.find_spec("opentelemetry") is not None
needs_opentelemetry = pytest.mark.skipif(
    not IS_INSTALLED, reason="OpenTelemetry is not installed: pip install -r requirements-otel.txt"
)


def test_without_the_setting_nothing_of_opentelemetry_is_imported():
    if "opentelemetry.proto" in sys.modules:
        pytest.skip("The receiver of another test has imported it.")
    start_tracing()
    with continue_trace("00-" + "1" * 32 + "-" + "2" * 16 + "-01", "job"):
        assert current_traceparent() == ""

    assert not [name for name in sys.modules if name.split(".")[0] == "opentelemetry"]


@pytest.mark.skipif(IS_INSTALLED, reason="OpenTelemetry is installed")
def test_with_the_setting_alone_the_portal_says_what_to_install(settings):
    settings.OTEL_EXPORTER_OTLP_ENDPOINT = "http://127.0.0.1:4318"

    with pytest.raises(ImproperlyConfigured, match=r"requirements-otel\.txt"):
        start_tracing()


class Receiver:
    """An OTLP receiver over HTTP that keeps the spans it gets."""

    def __init__(self):
        self.spans = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

                sent = ExportTraceServiceRequest.FromString(
                    self.rfile.read(int(self.headers["Content-Length"]))
                )
                for resource in sent.resource_spans:
                    for scope in resource.scope_spans:
                        receiver.spans += [(scope.scope.name, span) for span in scope.spans]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def find(self, is_wanted):
        return [span for scope, span in list(self.spans) if is_wanted(scope, span)]


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


def attributes_of(span):
    return {one.key: one.value.string_value for one in span.attributes}


@pytest.mark.story
@needs_opentelemetry
@pytest.mark.timeout(180)
def test_click_job_and_cloud_request_are_one_trace(cloud, account, receiver, celery_worker, tmp_path):
    member = MembershipFactory(role=Role.OPERATOR)
    member.user.set_password("demo")
    member.user.save()
    system = InformationSystemFactory(tenant=member.tenant)
    (server,) = cloud.seed(1)
    vm = VirtualMachineFactory(
        information_system=system, account=account, region="RegionOne", openstack_id=server, status="running"
    )
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        # Another service of the machine may have set them.
        "OTEL_TRACES_SAMPLER": "always_on",
    }
    celery_worker(queues="jobs,polling", environment=environment)
    with start_web_process(tmp_path, threads=2, environment=environment) as portal:
        api = f"{portal.url}/api/v1"
        login = {"username": member.user.username, "password": "demo", "name": "trace"}
        token = requests.post(f"{api}/auth/tokens/", json=login, timeout=30).json()["token"]
        answer = requests.post(
            f"{api}/vms/{vm.pk}/actions/",
            json={"action": "stop"},
            headers={"Authorization": f"Token {token}"},
            timeout=30,
        )
        assert answer.status_code == 202, answer.text
        job = Job.objects.get(pk=answer.json()["job"]["id"])
        trace_id = bytes.fromhex(job.traceparent.split("-")[1])
        wait_for("the job ends", lambda: Job.objects.get(pk=job.pk).status == "succeeded", 60)

        def find_job_spans():
            return receiver.find(lambda _scope, span: span.name == f"job {job.kind}")

        def find_cloud_spans():
            return receiver.find(
                lambda scope, span: (
                    scope.endswith("requests") and span.trace_id == trace_id and span.name.startswith("POST")
                )
            )

        (web,) = wait_for(
            "the span of the click",
            lambda: receiver.find(lambda scope, span: scope.endswith("django") and span.trace_id == trace_id),
        )
        job_spans = wait_for("the span of the job", find_job_spans)
        cloud_spans = wait_for("the span of the request to the cloud", find_cloud_spans)

    assert {span.trace_id for span in job_spans} == {trace_id}
    assert job.traceparent.split("-")[2] == web.span_id.hex()
    assert {span.parent_span_id for span in job_spans} == {web.span_id}
    assert attributes_of(job_spans[0])["portal.job.id"] == str(job.pk)
    jobs = {span.span_id for span in job_spans}
    assert [span for span in cloud_spans if span.parent_span_id in jobs]
    assert "demo" not in str(receiver.spans)
    assert token not in str(receiver.spans)
