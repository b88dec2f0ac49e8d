"""The files of `ops/`, and what their expressions name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
PROMETHEUS = REPOSITORY / "ops" / "prometheus"
RUNBOOK = REPOSITORY / "docs" / "runbooks" / "alerts.md"
MONITORING = REPOSITORY / "docs" / "monitoring.md"
DASHBOARDS = sorted((REPOSITORY / "ops" / "grafana").glob("*.json"))


def read_alerts() -> list[dict[str, Any]]:
    """Return the alerts of `alerts.yml`."""
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def read_dashboards() -> dict[str, dict[str, Any]]:
    """Return the dashboards by file name. A key that stands twice in an object would hide the first."""

    def refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _value in pairs]
        assert len(names) == len(set(names)), names
        return dict(pairs)

    return {
        path.name: json.loads(path.read_text(), object_pairs_hook=refuse_duplicates) for path in DASHBOARDS
    }


def list_expressions() -> Iterator[tuple[str, str]]:
    """Return every expression, with the alert or panel that it belongs to."""
    for alert in read_alerts():
        yield alert["alert"], alert["expr"]
    for name, dashboard in read_dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}", target["expr"]


def find_selectors(expression: str) -> Iterator[tuple[str, list[str]]]:
    """Return the metrics that an expression selects, each with the labels that its matchers name."""
    for name, matchers in re.findall(r"\b(portal_\w+)(?:\{([^}]*)\})?", expression):
        yield name, re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", matchers)


def find_groupings(expression: str) -> set[str]:
    """Return the labels by which an expression groups."""
    labels = ",".join(re.findall(r"\bby \(([^)]*)\)", expression))
    return {label.strip() for label in labels.split(",") if label.strip()}
