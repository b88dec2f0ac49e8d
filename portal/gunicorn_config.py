"""How the web process is served: gunicorn reads this file (`-c portal/gunicorn_config.py`)."""

import os
from typing import Any

wsgi_app = "portal.wsgi"
bind = os.environ.get("WEB_BIND", "127.0.0.1:8000")
workers = int(os.environ.get("WEB_WORKERS", "2"))
# Threads, because a request waits for the database most of the time. Each holds a connection of its own:
# workers x threads of every web process together stay below PostgreSQL's max_connections.
# It collects requests in its main loop, so that a client that is slow, or means to be, holds no thread.
worker_class = "portal.web_worker.BufferingWorker"
threads = int(os.environ.get("WEB_THREADS", "16"))
# Of one process. Each is a file of the process, which may often have 1024.
worker_connections = 500
timeout = 60
graceful_timeout = 20
keepalive = 5
# A request line as long as `api.request_limits` takes; no client of the portal sends more or longer headers.
limit_request_line = 4094
limit_request_fields = 60
limit_request_field_size = 8190
# Files are sent by writes too, which have a deadline (portal/answer_socket.py).
sendfile = False
# Imported once and forked: half the start-up time and less memory.
preload_app = True
# The heartbeat file: on a disk that is slow, touching it could hold up a worker.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108 - gunicorn asks for a string.
# It would be a socket in the home folder, which a read-only container does not have.
control_socket_disable = True
accesslog = None  # django-structlog logs requests, with user and request id.


def post_fork(server: Any, worker: Any) -> None:
    """Drop connections that the import made: two processes must never talk on one."""
    from django.db import connections  # noqa: PLC0415 - not before the application is loaded.

    connections.close_all()
