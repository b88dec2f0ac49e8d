"""VMs are made and removed while everything breaks: who works on them, what is broken, and what must hold afterwards.

`invariants` compares cloud and database; `worker` is a worker inside the test that can be killed at any commit;
`campaign` and its neighbours are the seeded run with real processes: `python -m tests.faults.creation --seed 1`.
"""
