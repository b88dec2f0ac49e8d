"""Spares are made, claimed and compared with the cloud while everything breaks, and what must hold afterwards.

`invariants` compares cloud and database; `stage` and `stories` are told by a worker inside the test, which can be killed
at any commit; `campaign` and its neighbours are the seeded run with real processes: `python -m tests.faults.pool --seed 1`.
"""
