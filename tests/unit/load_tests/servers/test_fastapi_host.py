from __future__ import annotations

from load_tests.servers.fastapi_host import fastapi_host
from load_tests.servers.offers import SAME_THREADS


def test_it_serves_both_workloads_from_one_process(workloads, monkeypatch):
    monkeypatch.delenv(SAME_THREADS, raising=False)
    host = fastapi_host(workloads)
    program = host.prepare()
    assert program.command[1].endswith("apps/fastapi_app.py")
    assert [offer.target.url for offer in host.offers] == [
        f"http://127.0.0.1:{program.ports[0]}/{workload}" for workload in ("digits", "cnn")
    ]
    assert program.environment[SAME_THREADS] == "2"
