"""The portal's settings, with one more view: the bare one that others are held against."""

from portal.settings import *  # noqa: F403

ROOT_URLCONF = "bench.urls"
for _action in REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]:  # noqa: F405
    REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"][_action] = "1000000/min"  # noqa: F405
