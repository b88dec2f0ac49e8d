"""The web process's entry: `gunicorn portal.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

from portal.tracing import start_tracing

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

start_tracing()
application = get_wsgi_application()
