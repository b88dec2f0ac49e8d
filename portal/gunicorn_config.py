"""The configuration of gunicorn, which serves the web process (`-c portal/gunicorn_config.py`)."""

import gc
import os
from typing import Any

wsgi_app = "portal.wsgi"
bind = os.environ.get("WEB_BIND", "127.0.0.1:8000")
workers = int(os.environ.get("WEB_WORKERS", "2"))
# Threads, because a request mostly waits for the database. Each thread holds a database connection, so the number of
# threads of all web processes must stay below PostgreSQL's max_connections.
# The worker collects requests in its main loop, so that slow or malicious clients hold no threads.
worker_class = "portal.web_worker.BufferingWorker"
threads = int(os.environ.get("WEB_THREADS", "16"))
# For each process. A connection needs a file descriptor, and a process often may have 1024 of them.
worker_connections = 500
timeout = 60
graceful_timeout = 20
keepalive = 5
# A request line as long as `api.request_limits` takes; no client of the portal sends more or longer headers.
limit_request_line = 4094
limit_request_fields = 60
limit_request_field_size = 8190
# Files are sent by writes, too, because these have a deadline (portal/response_socket.py).
sendfile = False
# The application is imported once and forked: this halves the start time and needs less memory.
preload_app = True
# The folder of the heartbeat file. On a slow disk, touching the file could block a worker.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108 - gunicorn asks for a string.
# The control socket would be in the home folder, which does not exist in a read-only container.
control_socket_disable = True
accesslog = None  # django-structlog logs requests, with user and request id.


def pre_fork(server: Any, worker: Any) -> None:
    """Exclude what is loaded from garbage collection, because a collection in a forked process copies the shared memory."""
    gc.collect()
    gc.freeze()
    # By Python's own limits, the collector takes a twelfth of the time of a page of a list.
    gc.set_threshold(50_000, 20, 50)


def post_fork(server: Any, worker: Any) -> None:
    """Close the connections that were opened before the fork: two processes must never share one."""
    from django.db import connections  # noqa: PLC0415 - not before the application is loaded.

    connections.close_all()


def post_worker_init(worker: Any) -> None:
    """Let this process write what it counts for `/metrics`."""
    from api.shared_metrics import report_web_process  # noqa: PLC0415 - see `post_fork`.

    report_web_process()


def worker_exit(server: Any, worker: Any) -> None:
    """Write the last counts of this process."""
    from api.shared_metrics import flush_at_exit  # noqa: PLC0415 - see `post_fork`.

    flush_at_exit()
