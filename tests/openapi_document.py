"""The OpenAPI document of the API for tests, read from docs/openapi.yaml.

To generate it takes some seconds for each process of a test run. `make lint` checks that the file
is what the code generates.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

PATH = Path(__file__).resolve().parents[1] / "docs" / "openapi.yaml"


@cache
def read_openapi_document() -> Any:
    """Return the document. It is read once and shared: do not change it."""
    # The loader in C takes a tenth of the time of the one in Python.
    return yaml.load(PATH.read_text(), Loader=yaml.CSafeLoader)
