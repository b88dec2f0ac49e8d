"""`make audit` reads the answers of pip-audit, also those that only look clean."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

CLEAN = {"name": "django", "version": "5.2", "vulns": []}
VULNERABLE = {**CLEAN, "vulns": [{"id": "CVE-2026-1", "fix_versions": ["5.3"]}]}
SKIPPED = {"name": "django", "skip_reason": "not found"}
AWAY = "requests.exceptions.ConnectionError: no route"


def answer(*packages):
    return json.dumps({"dependencies": packages})


@pytest.mark.parametrize(
    ("pypi", "osv", "code", "says"),
    [
        (answer(CLEAN), "", 0, "1 packages, 0 known vulnerabilities (pypi)"),
        (answer(VULNERABLE), "", 1, "django 5.2: CVE-2026-1, fixed in 5.3"),
        # A mirror that knows packages and no vulnerabilities is no answer, and the other service is asked.
        (answer(SKIPPED), answer(VULNERABLE), 1, "1 known vulnerabilities (osv)"),
        (answer(SKIPPED), AWAY, 0, "not audited, because no index with vulnerabilities answered"),
        (AWAY, AWAY, 0, "not audited"),
        ("error: no hash for django", "", 2, "no hash for django"),
    ],
)
def test_only_an_answer_counts_as_clean(tmp_path, pypi, osv, code, says):
    program = tmp_path / "pip-audit"
    for service, text in (("pypi", pypi), ("osv", osv)):
        (tmp_path / service).write_text(text)
    # What is JSON is written to the output, everything else to the errors.
    program.write_text(
        "#!/bin/sh\n"
        'for word; do case "$word" in pypi|osv) file="$(dirname "$0")/$word";; esac; done\n'
        'if grep -q "^{" "$file"; then cat "$file"; else cat "$file" >&2; exit 1; fi\n'
    )
    program.chmod(0o755)

    run = subprocess.run(
        [sys.executable, REPOSITORY / "tests" / "audit.py", program, "requirements.txt"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == code, run.stderr
    assert says in run.stdout + run.stderr
