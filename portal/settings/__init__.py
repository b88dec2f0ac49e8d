"""Every setting of the portal, read from the environment; `.env.example` explains each.

The defaults are those of `make up`.
With `PORTAL_ENV=production` the portal refuses to start without a secret key, allowed hosts, an encryption key and a
password for the broker.

Each module contains one group of settings; this one imports all of them into `portal.settings`.
"""

import django_stubs_ext

from portal.log_format import logging_settings

from .api import *
from .environment import BASE_DIR as BASE_DIR
from .environment import PORTAL_ENV as PORTAL_ENV
from .environment import PRODUCTION, env
from .rooms import *
from .servers import *
from .signin import *
from .web import *

django_stubs_ext.monkeypatch()

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
REQUEST_LOG_LEVEL = env.str("REQUEST_LOG_LEVEL", default="WARNING")
LOGGING = logging_settings(production=PRODUCTION, level=LOG_LEVEL, request_level=REQUEST_LOG_LEVEL)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
# RequestIdMiddleware has validated the header. Without this setting, log and jobs would have different ids.
DJANGO_STRUCTLOG_TRUST_UPSTREAM_REQUEST_ID = True
