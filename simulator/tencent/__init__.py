"""A simulated Tencent Cloud: its API 3.0 for the services that the portal lists, on one address.

It checks signatures (TC3-HMAC-SHA256) with code of its own, refuses as the vendor does, and answers with the documented
shapes. Tests fill it by `TencentCloud`, and change what it holds there.
"""

from .cloud import TencentCloud
from .objects import build_object
from .server import TencentServer

__all__ = ["TencentCloud", "TencentServer", "build_object"]
