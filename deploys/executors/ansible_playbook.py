"""Ansible's own program `ansible-playbook`, with a garbage collector that seldom runs.

Run as a script by `ansible_run.py`: `python -I ansible_playbook.py ARGUMENTS`.

A run makes some hundred thousand objects that live as long as it does (modules, configuration, syntax trees), and with its
usual limits the collector goes through them again and again. A run ends within minutes; what it does with the answers of
a host, which are bounded, is collected as before, only later.

It imports nothing of the portal.
"""

from __future__ import annotations

import gc
import sys

# Before Ansible is imported: its imports are where most of the objects come from.
gc.set_threshold(50_000, 20, 50)

from ansible.cli.playbook import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
