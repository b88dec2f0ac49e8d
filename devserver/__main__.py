"""`python -m devserver up|down|status|reset|wait`: the portal with all its servers on this machine."""

import argparse
import contextlib
import ctypes
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable

from devserver import launch, processes
from devserver.die_with_parent import PR_SET_PDEATHSIG
from devserver.installation import Installation
from devserver.launch import DevServerError
from devserver.supervisor import (
    AlreadyRunningError,
    Supervisor,
    end_leftovers,
    hold_lock,
    read_record,
    with_recorded_ports,
)

USERS = [
    ("admin", "administrator, also of /admin/"),
    ("alice", "admin of tenant acme"),
    ("oscar", "operator of acme"),
    ("vera", "viewer of acme"),
    ("gina", "admin of globex"),
    ("bruno", "operator of both"),
]


def say(line: str, *, to: int = 1) -> None:
    """Write a line to the terminal.

    The terminal or the reader of a pipe may be closed, which must not prevent the supervisor from ending its processes.
    It does not use `print`, because Python would try to flush the buffer again at its exit.
    """
    with contextlib.suppress(OSError):
        os.write(to, f"{line}\n".encode())


def up(installation: Installation, *, detach: bool) -> int:
    """Start everything and wait until it is stopped; with `detach`, return when it is ready."""
    if installation.environment.get("PORTAL_ENV") == "production":
        raise DevServerError(
            "PORTAL_ENV is 'production', but this command creates users with a public password and servers for "
            "development. Unset it, or run the portal with docs/systemd.md, docs/kubernetes.md or docker-compose.yml."
        )
    if detach:
        return _up_in_background(installation)
    if os.environ.get("MAKELEVEL"):
        # Started by make in the foreground: when make is killed, the supervisor gets SIGTERM and ends in order.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    with hold_lock(installation):
        Supervisor(installation, say=say).run(on_ready=lambda seconds: _announce(installation, seconds))
    return 0


def _up_in_background(installation: Installation) -> int:
    """Fork a supervisor into its own session, and wait until it is ready or reports an error."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: os.kill(child, signal.SIGTERM))
        word = os.read(reading, 1)
        return 0 if word else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(reading)
    os.setsid()

    def on_ready(seconds: float) -> None:
        _announce(installation, seconds)
        # From now on, the output goes to a log, so that the terminal or the pipe can be closed.
        log = os.open(installation.log("supervisor"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.write(writing, b"!")
        os.close(writing)

    code = _report_errors(lambda: _supervise(installation, on_ready))
    os._exit(code)


def _supervise(installation: Installation, on_ready: Callable[[float], None]) -> int:
    with hold_lock(installation):
        Supervisor(installation, say=say).run(on_ready=on_ready)
    return 0


def _announce(installation: Installation, seconds: float) -> None:
    say(f"\nThe portal is up, after {seconds:.1f} s.\n")
    say(f"  portal      {installation.address}/")
    say(f"  API docs    {installation.address}/api/docs/")
    say(f"  admin       {installation.address}/admin/")
    if installation.simulator_port is not None:
        say(f"  simulator   http://127.0.0.1:{installation.simulator_port}/")
    say(f"\n  Log in with the password '{installation.password_of_users}' as")
    for name, role in USERS:
        say(f"    {name:<8} {role}")
    say(f"\n  Logs are in {installation.data / 'logs'}; stop with Ctrl-C or `make down`.\n")


def down(installation: Installation) -> int:
    """Stop what `up` started here."""
    supervisor = read_record(installation).get("supervisor")
    if supervisor and supervisor.alive:
        supervisor.send(signal.SIGTERM)
        if not launch.wait_until_gone([supervisor], seconds=60):
            raise DevServerError(
                f"The supervisor (process {supervisor.pid}) does not end. Kill it with kill -9."
            )
        say("Stopped.")
        return 0
    if not installation.data.exists():
        say("Nothing is running.")
        return 0
    with hold_lock(installation):
        left = end_leftovers(installation)
    say(
        f"Ended processes of an earlier start that was killed: {', '.join(left)}."
        if left
        else "Nothing is running."
    )
    return 0


def status(installation: Installation) -> int:
    """Show state, process, port and memory of each process, and the total memory."""
    record = read_record(installation)
    supervisor = record.pop("supervisor", None)
    if supervisor is None or not any(process.alive for process in (supervisor, *record.values())):
        say(f"Nothing is running (data folder {installation.data}).")
        return 0
    installation = with_recorded_ports(installation)
    ports = {
        "web": installation.portal_port,
        "simulator": installation.simulator_port,
        "postgres": installation.postgres_port,
        "valkey": installation.valkey_port,
    }
    say(f"{'part':<14}{'state':<10}{'process':>8}{'port':>7}{'memory':>10}")
    total = 0
    for name, process in {"supervisor": supervisor, **record}.items():
        # The supervisor is the parent of all others, which are counted separately.
        alone = name == "supervisor"
        size = launch.memory(process.pid, with_children=not alone) if process.alive else 0
        total += size
        state = "running" if process.alive else "ended"
        port = ports.get(name) or ""
        say(f"{name:<14}{state:<10}{process.pid:>8}{port:>7}{size / 1e6:>7.0f} MB")
    say(f"{'total':<39}{total / 1e6:>7.0f} MB")
    answer = processes.check_health(installation)
    say(f"The portal is ready: {installation.address}/" if answer == "ready" else answer)
    return 0


def reset(installation: Installation) -> int:
    """Delete the data of the dev server. Other files in PORTAL_DATA are kept."""
    if not installation.data.exists():
        say("There is no data to delete.")
        return 0
    try:
        with hold_lock(installation):
            end_leftovers(installation)
            for name in ("postgres", "valkey", "logs"):
                if (installation.data / name).exists():
                    shutil.rmtree(installation.data / name)
            for pattern in ("secrets.*", "simulator.json*", "run.*"):
                for path in installation.data.glob(pattern):
                    path.unlink()
    except AlreadyRunningError as error:
        raise DevServerError("It is running; stop it first: make down") from error
    (installation.data / "lock").unlink(missing_ok=True)
    if not any(installation.data.iterdir()):
        installation.data.rmdir()
    say(f"Deleted the data in {installation.data}.")
    return 0


def wait(installation: Installation, *, seconds: float) -> int:
    """Return when the portal is ready."""
    installation = with_recorded_ports(installation)
    deadline = time.monotonic() + seconds
    while (answer := processes.check_health(installation)) != "ready":
        if time.monotonic() > deadline:
            raise DevServerError(f"Not ready after {seconds:.0f} s: {answer}")
        time.sleep(0.2)
    return 0


def _report_errors(work: Callable[[], int]) -> int:
    """Run `work` and return its exit code. Errors are printed: the code is then 2, or 0 if the dev server already runs."""
    try:
        return work()
    except AlreadyRunningError as error:
        say(str(error))
        return 0
    except DevServerError as error:
        say(f"\n{error}", to=2)
        return 2
    except PermissionError as error:
        say(
            f"\nNo permission for {error.filename}: it was probably created by another user. "
            "Set PORTAL_DATA to a folder of your own.",
            to=2,
        )
        return 2


def main() -> int:
    """Parse the command line and run the command."""
    parser = argparse.ArgumentParser(prog="python -m devserver", description=__doc__)
    parser.add_argument(
        "--no-simulator", action="store_true", help="no simulated cloud: OS_CLOUD or your own accounts"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help=up.__doc__).add_argument("--detach", action="store_true")
    commands.add_parser("down", help=down.__doc__)
    commands.add_parser("status", help=status.__doc__)
    commands.add_parser("reset", help=reset.__doc__)
    commands.add_parser("wait", help=wait.__doc__).add_argument("--seconds", type=float, default=120)
    arguments = parser.parse_args()

    def work() -> int:
        installation = Installation.from_environment(simulator=not arguments.no_simulator)
        match arguments.command:
            case "up":
                return up(installation, detach=arguments.detach)
            case "wait":
                return wait(installation, seconds=arguments.seconds)
            case command:
                return {"down": down, "status": status, "reset": reset}[command](installation)

    return _report_errors(work)


if __name__ == "__main__":
    sys.exit(main())
