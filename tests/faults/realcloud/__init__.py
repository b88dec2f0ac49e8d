"""A real OpenStack whose processes are killed and frozen while jobs of all kinds run.

Run it by hand, on a machine that has such a cloud and may signal its processes:
`python -m tests.faults realcloud --cloud demo --pids FOLDER --start COMMAND`.
"""
