"""The web process's entry: `gunicorn portal.wsgi`."""

import os
from importlib import import_module

from django.core.wsgi import get_wsgi_application

from portal.tracing import start_tracing

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

start_tracing()
application = get_wsgi_application()
# Imported with the application, and so before gunicorn forks: its processes share the memory, and the first request of each
# does not wait for it.
import_module("portal.urls")
