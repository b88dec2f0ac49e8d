"""Deployments over SSH while a worker is killed and hosts get broken versions: `python -m tests.faults deploys`."""
