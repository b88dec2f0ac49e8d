"""Syncs of an AWS account with 2,000 instances, their volumes and network interfaces, against moto's server.

The limit is a bare listing of the same objects with the same SDK, in the same process: most of the time of both goes into moto,
and into the SDK's parsers. They are measured in turns, because the load of the machine changes. There are not more instances,
because moto takes ever longer for each.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

from devserver import launch

from .figures import Figure, Line, Note, measure
from .stack import REPOSITORY, Stack, free_port

INSTANCES = 2_000
AT_ONCE = 500
TIMES = 3
# How many times the bare listing a repeated sync may take.
MOST = 1.5
MAX_GROWTH_MB = 150
TYPES = ("volume", "server", "port")
KEYS = {"aws_access_key_id": "AKIAEXAMPLE0001", "aws_secret_access_key": "of-no-matter-here"}


def measure_aws(stack: Stack) -> list[Line]:
    """Measure a first and repeated syncs against a bare listing, and the memory that the first one adds to the process."""
    from django.conf import settings

    from cloudaccounts.models import CloudAccount, CloudResource
    from cloudaccounts.registry import write_resource_types
    from cloudaccounts.sync.resources import sync_resource
    from portal.celery import freeze_garbage_collector

    settings.ALLOW_LOCAL_CLOUDS = True
    write_resource_types()
    url = _start_moto(stack)
    _fill(url)
    account = CloudAccount(
        name="aws", provider="aws", access_id=KEYS["aws_access_key_id"], auth_url=url, regions=["us-east-1"]
    )
    account.set_secret(json.dumps({"secret_access_key": KEYS["aws_secret_access_key"]}))
    account.save()

    def sync() -> None:
        for type_code in TYPES:
            log = sync_resource(account.pk, type_code)
            if log is None or log.state != "success":
                raise RuntimeError(
                    f"The sync of {type_code} failed: {log.message if log else 'it runs already'}"
                )

    freeze_garbage_collector()  # As in a worker.
    listed = _list_bare(url)
    before = _read_memory_mb()
    first = measure(sync)
    growth = _read_memory_mb() - before
    if CloudResource.objects.count() != listed:
        raise RuntimeError(f"The SDK lists {listed} objects, the sync {CloudResource.objects.count()}.")
    bare, repeated = [], []
    for _ in range(TIMES):
        bare.append(measure(partial(_list_bare, url)))
        repeated.append(measure(sync))
    limit, seconds = statistics.median(bare), statistics.median(repeated)
    return [
        Note("objects", f"{listed:,}", listed),
        Note("first sync", f"{first:.1f} s", first),
        Figure(
            "repeated sync, nothing changed",
            f"{seconds:.1f} s",
            f"{limit:.1f} s bare",
            seconds / limit,
            MOST,
            "at most",
        ),
        Figure(
            "memory of the first sync",
            f"+{growth:.0f} MB",
            f"{MAX_GROWTH_MB} MB",
            growth,
            MAX_GROWTH_MB,
            "at most",
        ),
    ]


def _start_moto(stack: Stack) -> str:
    port = free_port()
    program = "from moto.server import main; main()"
    process: subprocess.Popen[bytes] = launch.start(
        [sys.executable, "-c", program, "-p", str(port)],
        log=stack.folder / "moto.log",
        folder=REPOSITORY,
        environment={**os.environ, "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"},
    )
    stack.running.append(process)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{url}/moto-api/", timeout=5).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return url


def _open_client(url: str) -> Any:
    from botocore.config import Config
    from botocore.session import Session

    # moto takes long for a thousand instances.
    config = Config(read_timeout=600, retries={"total_max_attempts": 1})
    return Session().create_client("ec2", region_name="us-east-1", endpoint_url=url, config=config, **KEYS)


def _fill(url: str) -> None:
    ec2 = _open_client(url)
    image = ec2.register_image(Name="ubuntu", Architecture="x86_64")["ImageId"]
    # The default subnets are too small.
    network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=network, CidrBlock="10.0.0.0/17")["Subnet"]["SubnetId"]
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "env", "Value": "prod"}]}]
    for _ in range(INSTANCES // AT_ONCE):
        ec2.run_instances(
            ImageId=image,
            MinCount=AT_ONCE,
            MaxCount=AT_ONCE,
            InstanceType="t3.small",
            SubnetId=subnet,
            TagSpecifications=tags,
        )


def _list_bare(url: str) -> int:
    """List what the syncs list, and return the number of objects."""
    ec2 = _open_client(url)
    count = 0
    for operation, member, size in (
        ("describe_volumes", "Volumes", 500),
        ("describe_instances", "Reservations", 1000),
        ("describe_network_interfaces", "NetworkInterfaces", 1000),
    ):
        for page in ec2.get_paginator(operation).paginate(PaginationConfig={"PageSize": size}):
            for found in page[member]:
                count += len(found["Instances"]) if member == "Reservations" else 1
    return count


def _read_memory_mb() -> float:
    """Return the memory of this process that is in use now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
