from __future__ import annotations

import pytest

from load_tests.servers.registry import hosts_of

OURS, BY_HAND, DEFAULT = "Ray Serve in HAProxy mode", "FastAPI by hand", "Ray Serve behind its default proxy"
PEERS = ["mosec", "LitServe", "MLServer", "BentoML", "PyTriton", "TorchServe"]


@pytest.mark.parametrize(
    ("quick", "peers", "expected"),
    [
        (True, False, [OURS, BY_HAND]),
        (False, False, [OURS, BY_HAND, DEFAULT]),
        (True, True, [OURS, BY_HAND, *PEERS]),
        (False, True, [OURS, BY_HAND, DEFAULT, *PEERS]),
    ],
)
def test_each_flag_adds_its_hosts(workloads, quick, peers, expected):
    assert [host.name for host in hosts_of(workloads, quick=quick, peers=peers)] == expected
