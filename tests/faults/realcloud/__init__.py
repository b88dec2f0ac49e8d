"""A real OpenStack whose processes are killed and frozen while jobs of all kinds run.

It is run by hand, on a machine that has such a cloud: `python -m tests.faults.realcloud --cloud demo --pids FOLDER --start COMMAND`.
"""
