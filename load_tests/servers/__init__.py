"""The servers that are measured: how each is installed, started, checked and stopped."""

from load_tests.servers.limits import Limit, limits
from load_tests.servers.registry import hosts

__all__ = ["Limit", "hosts", "limits"]
