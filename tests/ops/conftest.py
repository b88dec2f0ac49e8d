from tests.vms.conftest import account, cloud

__all__ = ["account", "cloud"]
