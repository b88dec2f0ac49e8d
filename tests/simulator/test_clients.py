"""The simulated cloud: state changes, the control API, race behavior, and its process."""

import concurrent.futures
import signal
import socket
import subprocess
import sys

import pytest

import simulator
from openstack_client import (
    Cloud,
    CloudConflictError,
    CloudCredentials,
    CloudError,
    CloudNotFoundError,
    ServerNetwork,
)
from tests.listings import read_all_pages


def opened(control, name, **more):
    return Cloud(
        CloudCredentials(auth_url=control.server.auth_url, username=name, password=name, project_name=name),
        **more,
    )


def create(cloud, **more):
    flavor, image = cloud.compute.list_flavors()[0], cloud.image.list_images()[0]
    network = next(n for n in read_all_pages(cloud.network.network_pages()) if not n.is_external)
    wanted = {
        "name": "x",
        "flavor_id": flavor.id,
        "image_id": image.id,
        "networks": [ServerNetwork(network.id)],
        "tags": ["t"],
    }
    return cloud.compute.create_server(**{**wanted, **more})


def test_state_moves_with_the_clock(cloud, control):
    control("POST", "clock", {"build_seconds": 100, "action_seconds": 50})
    made = create(cloud)
    assert cloud.compute.get_server(made.id).task_state == "scheduling"
    # As in a real Nova: no cell has it yet, so an action does not find it.
    with pytest.raises(CloudNotFoundError):
        cloud.compute.stop_server(made.id)
    control("POST", "clock", {"advance_seconds": 50})
    assert cloud.compute.get_server(made.id).task_state == "spawning"
    control("POST", "clock", {"advance_seconds": 51})
    assert cloud.compute.get_server(made.id).status == "ACTIVE"
    cloud.compute.reboot_server(made.id, hard=True)
    assert cloud.compute.get_server(made.id).status == "HARD_REBOOT"
    control("POST", "clock", {"advance_seconds": 51})
    assert cloud.compute.get_server(made.id).status == "ACTIVE"


def test_build_that_fails_carries_the_fault(cloud, control):
    control("POST", "failing_builds", {"times": 1, "fault": "No valid host was found."})
    made = create(cloud)
    server = cloud.compute.get_server(made.id)
    assert server.status == "ERROR" and server.fault == "No valid host was found."
    assert cloud.compute.list_server_actions(made.id)[0].message == "Error"
    assert cloud.compute.get_server(create(cloud).id).status == "ACTIVE"


def test_another_project_sees_nothing(cloud, control, server_id):
    with opened(control, "other") as other:
        assert list(other.compute.list_servers()) == []
        for call in (other.compute.get_server, other.compute.stop_server, other.compute.delete_server):
            with pytest.raises(CloudNotFoundError):
                call(server_id)
        assert create(other, name="of the other").id not in {s.id for s in cloud.compute.list_servers()}


def test_changes_by_the_control_api(cloud, control, server_id):
    control("PATCH", f"servers/{server_id}", {"status": "ERROR", "fault": "the disk burnt"})
    server = cloud.compute.get_server(server_id)
    assert (server.status, server.fault) == ("ERROR", "the disk burnt")
    control("PATCH", f"servers/{server_id}", {"status": "WEIRD"})
    assert cloud.compute.get_server(server_id).status == "WEIRD"
    control("DELETE", f"servers/{server_id}")
    with pytest.raises(CloudNotFoundError):
        cloud.compute.get_server(server_id)


def test_every_accepted_action_is_counted(cloud, control, server_id):
    cloud.compute.stop_server(server_id)
    with pytest.raises(CloudConflictError):
        cloud.compute.stop_server(server_id)
    counts = control("GET", "requests")["counts"]
    assert counts["actions"]["os-stop"] == {"accepted": 1, "refused": 1}
    assert counts["objects"][server_id]["os-stop"] == {"accepted": 1, "refused": 1}
    last = control("GET", "requests")["next"]
    assert control("GET", f"requests?since={last}")["requests"] == []


def crowd(control, server_id, size=30):
    with opened(control, "demo") as cloud:
        cloud.check()

        def stop(_):
            try:
                cloud.compute.stop_server(server_id)
            except CloudError as error:
                return error.status_code
            return 202

        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            return list(pool.map(stop, range(size)))


def test_concurrent_actions_race_as_configured(control, server_id):
    control("POST", "clock", {"action_seconds": 60})
    control("POST", "untidy", {"duplicate_rate": 0.5, "error_rate": 0.5, "window_seconds": 0.05})
    answers = crowd(control, server_id)
    assert control.actions()["os-stop"]["accepted"] > 1
    assert 500 in answers


def test_concurrent_actions_without_races(control, server_id):
    control("POST", "clock", {"action_seconds": 60})
    control("POST", "untidy", {"enabled": False})
    answers = crowd(control, server_id)
    assert sorted(answers) == [202] + [409] * 29
    assert control.actions()["os-stop"]["accepted"] == 1


def test_sequential_actions_never_race(cloud, control, server_id):
    control("POST", "clock", {"action_seconds": 60})
    control("POST", "untidy", {"duplicate_rate": 1, "window_seconds": 0.001})
    cloud.compute.stop_server(server_id)
    for _ in range(5):
        with pytest.raises(CloudConflictError):
            cloud.compute.stop_server(server_id)


def test_regions_are_separate(control):
    control("POST", "reset", {"regions": ["RegionOne", "RegionTwo"]})
    control("POST", "seed", {"project": "demo", "region": "RegionTwo", "servers": 2, "volumes": 1})
    with (
        opened(control, "demo", region="RegionTwo") as two,
        opened(control, "demo", region="RegionOne") as one,
    ):
        assert one.list_regions() == ["RegionOne", "RegionTwo"]
        assert len(list(two.compute.list_servers())) == 2
        assert list(one.compute.list_servers()) == []


def test_seed_and_objects(cloud, control):
    found = control(
        "POST", "seed", {"project": "demo", "servers": 25, "volumes": 3, "snapshots": 2, "status": "SHUTOFF"}
    )
    assert [len(found[kind]) for kind in ("servers", "volumes", "snapshots")] == [25, 3, 2]
    servers = list(read_all_pages(cloud.compute.server_pages(page_size=7)))
    assert {s.id for s in servers} == set(found["servers"]) and {s.status for s in servers} == {"SHUTOFF"}
    assert len({s.addresses[0].ip for s in servers}) == len({s.addresses[0].mac for s in servers}) == 25
    assert {s["id"] for s in control("GET", "objects")["servers"]} == set(found["servers"])


def test_same_seed_same_cloud(control):
    first = control("POST", "reset", {"seed": 3})
    ids = control("POST", "seed", {"project": "demo", "servers": 3})["servers"]
    assert control("POST", "reset", {"seed": 3}) == first
    assert control("POST", "seed", {"project": "demo", "servers": 3})["servers"] == ids
    assert control("POST", "reset", {"seed": 4}) != first


def test_seeded_application_credential(control):
    with Cloud(
        CloudCredentials(
            auth_url=control.server.auth_url,
            application_credential_id="sim-appcred",
            application_credential_secret="sim-secret",
        )
    ) as cloud:
        cloud.check()


def test_data_file_keeps_everything(tmp_path):
    path = tmp_path / "cloud.json"
    with simulator.start(data_file=path) as server:
        credentials = CloudCredentials(
            auth_url=server.auth_url, username="demo", password="demo", project_name="demo"
        )
        with Cloud(credentials) as cloud:
            made = create(cloud, metadata={"a": "b"})
            volumes = {v.id for v in read_all_pages(cloud.block_storage.volume_pages())}
        port = server.port
    with simulator.start(data_file=path, port=port), Cloud(credentials) as cloud:
        found = cloud.compute.get_server(made.id)
        assert (found.tags, found.metadata) == (("t",), {"a": "b"})
        assert {v.id for v in read_all_pages(cloud.block_storage.volume_pages())} == volumes
        # Addresses in use are known again.
        create(cloud)


def test_process_starts_reports_its_address_and_stops(tmp_path):
    command = [sys.executable, "-m", "simulator", "--port"]
    with subprocess.Popen(
        [*command, "0", "--data-file", str(tmp_path / "data.json")], stdout=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline()
        assert line.startswith("simulator listening on http://127.0.0.1:") and "/identity/v3" in line
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert (tmp_path / "data.json").exists()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run([*command, port], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2 and f"port {port}" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("work", "status"), [("create", "error"), ("extend", "error_extending"), ("snapshot", "error")]
)
def test_failing_volume_operations(cloud, control, work, status):
    storage = cloud.block_storage
    control("POST", "failing_volumes", {"work": work})
    control("POST", "clock", {"volume_seconds": 5})
    made = storage.create_volume(name="v", size_gb=1)
    control("POST", "clock", {"advance_seconds": 6})
    if work == "extend":
        storage.extend_volume(made.id, 2)
        assert storage.get_volume(made.id).status == "extending"
    if work == "snapshot":
        snapshot = storage.create_snapshot(made.id, name="s")
    control("POST", "clock", {"advance_seconds": 6})
    failed = storage.get_snapshot(snapshot.id) if work == "snapshot" else storage.get_volume(made.id)
    assert (failed.status, failed.size_gb) == (status, 1)
    # The next one does not fail, and what failed can be removed.
    another = storage.create_volume(name="v", size_gb=1)
    control("POST", "clock", {"advance_seconds": 6})
    assert storage.get_volume(another.id).status == "available"
    (storage.delete_snapshot if work == "snapshot" else storage.delete_volume)(failed.id)


def test_seeded_snapshot_of_a_volume_of_its_own(cloud, control):
    volume_id = control("POST", "seed", {"project": "demo", "volumes": 1, "size": 3})["volumes"][0]
    wanted = {"project": "demo", "snapshots": 1, "volume_id": volume_id, "metadata": {"a": "b"}}
    snapshot_id = control("POST", "seed", wanted)["snapshots"][0]
    (found,) = cloud.block_storage.find_snapshots_by_metadata({"a": "b"})
    assert (found.id, found.volume_id, found.size_gb) == (snapshot_id, volume_id, 3)
