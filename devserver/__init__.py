"""The dev server: PostgreSQL, Valkey, the simulator and the portal's own processes on one machine.

`make up` and the tests use this package; production brings its own servers and does not need it.
Linux only: ends of processes, identities and memory are read from `/proc`.
"""
