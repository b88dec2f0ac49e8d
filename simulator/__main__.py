"""`python -m simulator`: one simulated cloud until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import errno
import signal
import sys
import threading

from . import start


def main() -> int:
    """Run until told to stop. Exit code 2: the port or the data file cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5050, help="0 takes a free one")
    parser.add_argument("--data-file", help="keep the cloud in this file")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same ids and chances")
    options = parser.parse_args()
    # Set before the ready line is written, because its reader may send a signal at once.
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        server = start(host=options.host, port=options.port, data_file=options.data_file, seed=options.seed)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            problem = (
                f"port {options.port} of {options.host} is in use by another program; choose one with --port"
            )
        else:
            problem = str(error)
        sys.stderr.write(f"simulator: {problem}\n")
        return 2
    except (ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"simulator: the data file cannot be used: {error}\n")
        return 2
    sys.stdout.write(f"simulator listening on {server.url} (Keystone at /identity/v3)\n")
    sys.stdout.flush()
    stop.wait()
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
