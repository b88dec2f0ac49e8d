"""The servers of the campaign, each on its host: PostgreSQL with a synchronous standby, Valkey, and the simulated cloud.

This process is on the host `clients`, where the users are: no fault strikes the network between it and the others.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
from pathlib import Path

import psycopg2

from bench.stack import answers
from devserver import launch
from devserver.launch import DevServerError
from devserver.postgres import DATABASE, PROGRAMS, USER, Postgres
from devserver.valkey import Valkey
from portal.service_urls import add_password
from tests.faults.framework.servers import REPOSITORY, Servers

from .namespaces import NETWORK, create_hosts, entered, move_to
from .network import Network

APP_HOSTS = ("app-a", "app-b")
DATABASE_HOST, STANDBY_HOST, CLOUD_HOST, CLIENTS_HOST = "database", "standby", "cloud", "clients"
ALL_HOSTS = (*APP_HOSTS, DATABASE_HOST, STANDBY_HOST, CLOUD_HOST, CLIENTS_HOST)
WEB_PORT, POSTGRES_PORT, VALKEY_PORT, CLOUD_PORT = 8000, 5432, 6379, 5050

# The leases and the sweep are those of the defaults, because the report says how long a real portal needs.
SETTINGS = {
    "JOB_LEASE_SECONDS": "20",
    "JOB_SWEEP_SECONDS": "5",
    "VM_STATUS_SYNC_SECONDS": "10",
    "POOL_BACKFILL_SECONDS": "5",
    "POOL_RECONCILE_SECONDS": "15",
    "POOL_QUOTA_KEPT_PERCENT": "0",
    "WEB_WORKERS": "1",
    "WEB_THREADS": "8",
    # Nothing here is reached through a proxy that the environment may name.
    "NO_PROXY": "*",
    "no_proxy": "*",
}


class HostServers(Servers):
    """The servers on their hosts, and the network between all hosts."""

    def __init__(self, seed: int) -> None:
        self.hosts = create_hosts(ALL_HOSTS)
        super().__init__()
        self.network = Network(self.hosts, seed=seed, log=self.folder / "router.log")
        move_to(self.hosts[CLIENTS_HOST])
        password = secrets.token_hex(8)
        self.postgres, self.standby = (
            Postgres(
                folder=self.folder / name,
                host=self.hosts[host].address,
                port=POSTGRES_PORT,
                password=password,
                log=self.folder / f"{name}.log",
            )
            for name, host in (("postgres", DATABASE_HOST), ("standby", STANDBY_HOST))
        )
        self.valkey = Valkey(
            folder=self.folder / "valkey",
            host=self.hosts[DATABASE_HOST].address,
            port=VALKEY_PORT,
            password=secrets.token_hex(8),
            log=self.folder / "valkey.log",
        )
        web_hosts = ",".join(self.hosts[name].address for name in APP_HOSTS)
        os.environ.update(
            SETTINGS, DATABASE_URL=self.database_url, REDIS_URL=self.valkey.url(), ALLOWED_HOSTS=web_hosts
        )

    @property
    def database_url(self) -> str:
        """Return the address of both database servers, for a client that wants the one that accepts writes."""
        places = ",".join(f"{server.host}:{server.port}" for server in (self.postgres, self.standby))
        url = f"postgresql://{USER}@{places}/{DATABASE}?target_session_attrs=read-write"
        return add_password(url, self.postgres.password)

    @property
    def cloud_url(self) -> str:
        """Return the address of the simulated cloud."""
        return f"http://{self.hosts[CLOUD_HOST].address}:{CLOUD_PORT}"

    def get_web_url(self, host: str) -> str:
        """Return the address of the web process of a host."""
        return f"http://{self.hosts[host].address}:{WEB_PORT}"

    def start(self, seed: int) -> None:
        """Start all servers, and wait until they answer and the standby is synchronous."""
        cloud = self.hosts[CLOUD_HOST]
        with entered(cloud):
            arguments = f"-m simulator --host {cloud.address} --port {CLOUD_PORT} --seed {seed}"
            self.running["simulator"] = launch.start(
                [sys.executable, *arguments.split()],
                log=self.folder / "simulator.log",
                folder=REPOSITORY,
                environment=os.environ,
                when_parent_dies=signal.SIGKILL,
            )
        self.start_valkey()
        with entered(self.hosts[DATABASE_HOST]):
            self.postgres.prepare()
            _let_network_in(self.postgres)
        self.start_postgres()
        self.wait(self.valkey.is_ready, "Valkey")
        self.wait(self.postgres.is_ready, "PostgreSQL")
        self._start_standby()
        self.wait(lambda: answers(f"{self.cloud_url}/_control/faults"), "The simulator")

    def _start_standby(self) -> None:
        """Copy the primary, start the copy as its standby, and let every commit wait for that."""
        with entered(self.hosts[STANDBY_HOST]):
            # It makes the folders with the right owner; the copy takes the place of the data.
            self.standby.prepare()
            shutil.rmtree(self.standby.data)
            primary = f"host={self.postgres.host} port={self.postgres.port} user={USER} password={self.postgres.password}"
            code, output = launch.run(
                [
                    PROGRAMS / "pg_basebackup",
                    *("--pgdata", self.standby.data, "--checkpoint=fast", "--write-recovery-conf"),
                    *("--dbname", f"{primary} application_name=standby"),
                ],
                identity=self.standby.identity,
                folder=self.standby.folder,
            )
            if code != 0:
                raise DevServerError(f"The standby could not copy the primary:\n{output}")
            self.running["standby"] = self.standby.start()
        self.wait(self.standby.is_ready, "The standby")
        self.query("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        self.query("SELECT pg_reload_conf()")
        states = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
        self.wait(lambda: self.query(states), "The synchronous standby")

    def start_valkey(self) -> None:
        """Start Valkey without any data, unless it runs."""
        with entered(self.hosts[DATABASE_HOST]):
            super().start_valkey()

    def start_postgres(self) -> None:
        """Start the primary on its data, unless it runs."""
        with entered(self.hosts[DATABASE_HOST]):
            super().start_postgres()

    def kill_postgres(self) -> None:
        """Kill all processes of the primary at once, as when its host loses power."""
        process = self.running.pop("postgres")
        tree = launch.process_tree(process.pid)
        launch.kill(tree)
        process.wait()
        launch.wait_until_gone(tree, seconds=5)
        self._connection = None

    def promote_standby(self) -> None:
        """Make the standby the primary. It waits for no standby of its own."""
        connection = psycopg2.connect(
            add_password(
                f"postgresql://{USER}@{self.standby.host}:{self.standby.port}/{DATABASE}",
                self.standby.password,
            ),
            connect_timeout=5,
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_promote()")
        finally:
            connection.close()

    def query(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Return the rows of a statement, from the server that accepts writes."""
        try:
            if self._connection is None:
                self._connection = psycopg2.connect(self.database_url, connect_timeout=2)
                self._connection.autocommit = True
            with self._connection.cursor() as cursor:
                cursor.execute(statement, values)
                return list(cursor.fetchall()) if cursor.description else []
        except psycopg2.Error:
            self._connection = None  # The next call connects again.
            raise

    def stop(self) -> None:
        """End the servers and the network."""
        if standby := self.running.pop("standby", None):
            launch.end(standby, stop_signal=signal.SIGQUIT, seconds=10)
        super().stop()
        self.network.stop()

    def remove_folder(self, *, keep_logs: bool) -> None:
        """Remove the folder, or everything in it except for the logs."""
        super().remove_folder(keep_logs=keep_logs)
        shutil.rmtree(self.standby.folder, ignore_errors=True)


def _let_network_in(postgres: Postgres) -> None:
    """Let the other hosts connect, with a password."""
    rules: Path = postgres.data / "pg_hba.conf"
    with rules.open("a") as file:
        for database in ("all", "replication"):
            file.write(f"host {database} all {NETWORK}.0/24 scram-sha-256\n")
