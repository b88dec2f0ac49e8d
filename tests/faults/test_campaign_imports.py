"""The campaigns and benchmarks run rarely, and import much only when it is needed: here each of these imports is tried."""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.util import resolve_name
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = [
    path for folder in ("tests/faults", "bench") for path in sorted((REPOSITORY / folder).rglob("*.py"))
]


def list_imports(path):
    """Yield each name that a module imports from another, also within functions: the line, the module and the name."""
    package = ".".join(path.relative_to(REPOSITORY).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            yield from ((node.lineno, module, alias.name) for alias in node.names if alias.name != "*")


def is_importable(module, name):
    if hasattr(import_module(module), name):
        return True
    try:
        import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return False
    return True


def test_every_name_that_a_campaign_or_benchmark_imports_exists():
    missing = [
        f"{path.relative_to(REPOSITORY)}:{line}: {module} has no {name}"
        for path in MODULES
        for line, module, name in list_imports(path)
        if not is_importable(module, name)
    ]

    assert missing == []
