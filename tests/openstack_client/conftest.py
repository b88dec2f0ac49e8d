"""The same simulated cloud, and clients of it, as the simulator's own tests have."""

from tests.simulator.conftest import _server, cloud, control, credentials, server_id

__all__ = ["_server", "cloud", "control", "credentials", "server_id"]
