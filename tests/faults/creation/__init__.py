"""VMs are created and removed while everything fails.

`invariants` compares cloud and database; `stage` and `stories` are for the worker inside a test (`killable_worker.py`), which
can be killed at any commit; `campaign` is the seeded run with real processes: `python -m tests.faults creation`.
"""
