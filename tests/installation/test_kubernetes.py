"""The manifests in ops/kubernetes are what Kubernetes accepts, and name what the portal has. No cluster is needed."""

from __future__ import annotations

import functools
import re

import kubernetes_validate
import pytest
import yaml
from django.urls import resolve
from kubernetes_validate import utils as schemas

from portal.celery import app
from portal.metrics import PortalCollector
from tests.installation.test_containers import (
    COMPOSE,
    DOCKERFILE,
    REPOSITORY,
    list_commands,
    names_in_env_example,
)
from tests.kustomize import build, get_template, list_containers, read_manifests

FOLDER = REPOSITORY / "ops" / "kubernetes"
# Of the schemas: the oldest and the newest that the page names.
VERSIONS = re.findall(r"\b1\.\d+\b", (REPOSITORY / "docs" / "kubernetes.md").read_text())
BUILT = {name: build(FOLDER / name) for name in ("base", "overlays/production", "overlays/small")}
EACH = pytest.mark.parametrize("manifests", BUILT.values(), ids=BUILT)


def of_kind(manifests, *kinds):
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def names(manifests, *kinds):
    return {manifest["metadata"]["name"] for manifest in of_kind(manifests, *kinds)}


def pods(manifests):
    """The labels and the specification of each kind of pod, by the name of its Deployment or Job."""
    return {
        manifest["metadata"]["name"]: (template["metadata"]["labels"], template["spec"])
        for manifest in manifests
        if (template := get_template(manifest))
    }


def matches(selector, labels):
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def selected_pods(manifests, selector):
    return {name for name, (labels, _spec) in pods(manifests).items() if matches(selector, labels)}


def queues_of(container):
    """The queues that a container's worker reads; none for another program."""
    words = [*container.get("command", []), *container.get("args", [])]
    return words[words.index("-Q") + 1].split(",") if "worker" in words else []


@pytest.fixture(scope="module")
def validate():
    """A function that validates a manifest against the schema of a version; each schema is read once."""
    read = schemas.schema_contents
    schemas.schema_contents = functools.cache(read)
    yield functools.partial(kubernetes_validate.validate, strict=True)
    schemas.schema_contents = read


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_has_the_schema_of_kubernetes(validate, version):
    assert len(VERSIONS) == 2
    found = [manifest for manifests in BUILT.values() for manifest in manifests]
    found += read_manifests(FOLDER / "base" / "secret.example.yaml")

    for manifest in found:
        assert validate(manifest, version) == version
    (deployment, *_rest) = of_kind(found, "Deployment")
    with pytest.raises(kubernetes_validate.ValidationError, match="replica"):
        validate(deployment | {"spec": deployment["spec"] | {"replica": 2}}, version)


@EACH
def test_every_selector_finds_pods(manifests):
    for manifest in of_kind(manifests, "Deployment"):
        own = {manifest["metadata"]["name"]}
        assert selected_pods(manifests, manifest["spec"]["selector"]) == own
        for spread in manifest["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            assert selected_pods(manifests, spread["labelSelector"]) == own
    for manifest in of_kind(manifests, "PodDisruptionBudget"):
        assert selected_pods(manifests, manifest["spec"]["selector"]) == {manifest["metadata"]["name"]}
    for manifest in of_kind(manifests, "NetworkPolicy"):
        assert selected_pods(manifests, manifest["spec"]["podSelector"])
    (service,) = of_kind(manifests, "Service")
    assert selected_pods(manifests, {"matchLabels": service["spec"]["selector"]}) == {"portal-web"}
    for manifest in of_kind(manifests, "HorizontalPodAutoscaler"):
        assert manifest["spec"]["scaleTargetRef"]["name"] in names(manifests, "Deployment")
    (ingress,) = of_kind(manifests, "Ingress")
    (rule,) = ingress["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"]["name"] == service["metadata"]["name"]


@EACH
def test_every_reference_of_a_pod_exists(manifests):
    secret, *_rest = read_manifests(FOLDER / "base" / "secret.example.yaml")
    for _labels, spec in pods(manifests).values():
        assert spec["serviceAccountName"] in names(manifests, "ServiceAccount")
        (container,) = spec["containers"]
        config, secrets = container["envFrom"]
        assert config["configMapRef"]["name"] in names(manifests, "ConfigMap")
        assert secrets["secretRef"]["name"] == secret["metadata"]["name"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {"tmp"}
        assert [volume["name"] for volume in spec["volumes"]] == ["tmp"]


@EACH
def test_pods_cannot_write_gain_no_rights_and_get_no_token(manifests):
    for _labels, spec in pods(manifests).values():
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert f"--uid {spec['securityContext']['runAsUser']} " in DOCKERFILE
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"].keys() == {"memory"}


@EACH
def test_every_image_has_a_version(manifests):
    images = {container["image"] for manifest in manifests for container in list_containers(manifest)}

    (image,) = images
    assert re.fullmatch(r"[a-z0-9./-]+:\d+\.\d+\.\d+", image)


@EACH
def test_every_variable_is_a_setting_and_no_secret_has_a_value(manifests):
    (config,) = of_kind(manifests, "ConfigMap")
    secret, *_rest = read_manifests(FOLDER / "base" / "secret.example.yaml")

    assert config["data"].keys() | secret["stringData"].keys() <= names_in_env_example()
    assert set(secret["stringData"].values()) == {""}
    assert not config["data"].keys() & secret["stringData"].keys()
    assert [text for text in config["data"].values() if re.search(r"://[^/]*:[^/]*@", text)] == []
    assert {"ALLOWED_HOSTS", "TRUSTED_PROXY_COUNT", "DATABASE_URL", "REDIS_URL"} <= config["data"].keys()
    for manifest in manifests:
        for container in list_containers(manifest):
            assert {variable["name"] for variable in container.get("env", [])} <= names_in_env_example()


@EACH
def test_every_queue_has_a_worker_and_autoscalers_watch_those_of_their_own(manifests):
    served = {
        manifest["metadata"]["name"]: queues_of(manifest["spec"]["template"]["spec"]["containers"][0])
        for manifest in of_kind(manifests, "Deployment")
    }
    used = {route["queue"] for route in app.conf.task_routes.values()} | {app.conf.task_default_queue}
    assert sorted(queue for queues in served.values() for queue in queues) == sorted(used)

    for manifest in of_kind(manifests, "HorizontalPodAutoscaler"):
        for metric in manifest["spec"]["metrics"]:
            watched = metric["external"]["metric"]["selector"]["matchLabels"]["queue"]
            assert watched in served[manifest["spec"]["scaleTargetRef"]["name"]]


@EACH
def test_containers_run_the_programs_of_the_compose_file(manifests):
    commands = {name: spec["containers"][0]["command"] for name, (_labels, spec) in pods(manifests).items()}
    services = COMPOSE["services"]

    assert commands["portal-web"] == services["web"]["command"]
    assert commands["portal-beat"] == services["beat"]["command"]
    assert commands["portal-migrate"] == services["migrate"]["command"]
    for command in re.findall(r"manage\.py (\w+)", commands["portal-migrate"][2]):
        assert command in list_commands("manage.py")
    for name, command in commands.items():
        if "worker" in name:
            assert command == ["celery", "-A", "portal", "worker", "-n", "worker@%h", *command[-2:]]
            assert command[-2:] == services["worker"]["command"][-2:]


@EACH
def test_probes_ask_routes_under_the_portals_name(manifests):
    (config,), (ingress,) = of_kind(manifests, "ConfigMap"), of_kind(manifests, "Ingress")
    host = config["data"]["ALLOWED_HOSTS"]
    found = pods(manifests)
    (web,) = found["portal-web"][1]["containers"]
    (port,) = web["ports"]
    assert f"EXPOSE {port['containerPort']}" in DOCKERFILE

    for probe in ("readinessProbe", "livenessProbe"):
        request = web[probe]["httpGet"]
        assert resolve(request["path"])
        assert request["httpHeaders"] == [{"name": "Host", "value": host}]
        assert request["port"] == port["name"]
    assert config["data"]["CSRF_TRUSTED_ORIGINS"] == f"https://{host}"
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == [host]
    assert [tls["hosts"] for tls in ingress["spec"]["tls"]] == [[host]]
    for name, (_labels, spec) in found.items():
        if "worker" in name:
            (container,) = spec["containers"]
            assert container["livenessProbe"]["exec"]["command"][-1].endswith("-d worker@$(hostname)")
            assert spec["terminationGracePeriodSeconds"] > app.conf.task_time_limit


@EACH
def test_network_policies_close_everything_and_open_what_is_needed(manifests):
    policies = {
        manifest["metadata"]["name"]: manifest["spec"] for manifest in of_kind(manifests, "NetworkPolicy")
    }
    every = set(pods(manifests))
    reached = {name: selected_pods(manifests, spec["podSelector"]) for name, spec in policies.items()}

    assert policies["portal-default-deny"].keys() == {"podSelector", "policyTypes"}
    assert reached["portal-default-deny"] == reached["portal-dns"] == reached["portal-databases"] == every
    assert [name for name, spec in policies.items() if "ingress" in spec] == ["portal-web"]
    assert reached["portal-web"] == {"portal-web"}
    by_queue = {
        queue: name
        for name, (_labels, spec) in pods(manifests).items()
        for queue in queues_of(spec["containers"][0])
    }
    assert reached["portal-hosts"] == {by_queue["deploys"]}
    assert reached["portal-clouds"] == {by_queue[queue] for queue in ("jobs", "sync", "volumepool")}
    assert by_queue["sync"] in reached["portal-receivers"]
    assert by_queue["polling"] in reached["portal-syslog"]
    assert reached["portal-identity-providers"] == {"portal-web"}
    (config,) = of_kind(manifests, "ConfigMap")
    opened = {port["port"] for rule in policies["portal-databases"]["egress"] for port in rule["ports"]}
    used = {
        int(port)
        for name, url in config["data"].items()
        if name.endswith("_URL")
        for port in re.findall(r":(\d+)", url)
    }
    assert used <= opened


@pytest.mark.django_db
def test_the_metric_of_the_autoscalers_is_one_of_the_portal():
    metrics = {family.name: family for family in PortalCollector().collect()}
    values = yaml.safe_load((FOLDER / "prometheus-adapter-values.yaml").read_text())
    (rule,) = values["rules"]["external"]
    assert rule["name"]["as"] in rule["seriesQuery"]

    labels = {sample.labels["queue"] for sample in metrics[rule["name"]["as"]].samples}
    for manifest in of_kind(BUILT["base"], "HorizontalPodAutoscaler"):
        for metric in manifest["spec"]["metrics"]:
            assert metric["external"]["metric"]["name"] == rule["name"]["as"]
            assert metric["external"]["metric"]["selector"]["matchLabels"]["queue"] in labels


def test_every_file_is_part_of_a_build_or_of_the_page():
    used = {"base/secret.example.yaml", "prometheus-adapter-values.yaml"}
    for path in FOLDER.rglob("kustomization.yaml"):
        (kustomization,) = read_manifests(path)
        entries = [*kustomization["resources"], *(patch.get("path") for patch in kustomization["patches"])]
        folder = path.parent.relative_to(FOLDER)
        used |= {str(folder / "kustomization.yaml"), *(str(folder / entry) for entry in entries if entry)}
    page = (REPOSITORY / "docs" / "kubernetes.md").read_text()

    assert {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.yaml")} <= used
    for name in (
        "base/secret.example.yaml",
        "prometheus-adapter-values.yaml",
        "overlays/production",
        "overlays/small",
    ):
        assert name in page
    assert "```yaml" not in page, "no YAML twice"
