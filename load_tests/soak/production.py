"""configs/prod.yaml, served for a soak or to be watched."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from load_tests.accounting import cpu_s_by_process, pss_by_process
from load_tests.servers.program import Program, Started, started, wait_until
from load_tests.target import HostUnavailable
from serve_app.config.port_checks import DASHBOARD_PORT

_READY_S, _STOP_S = 120.0, 60.0
_PROBE_S = 2.0


@dataclass(frozen=True, slots=True)
class Production:
    """A server that was started."""

    url: str
    started: Started

    def memory(self) -> Mapping[str, int]:
        """PSS in bytes of each of its processes."""
        return pss_by_process(self.started.root_pids())

    def cpu_s(self) -> Mapping[str, float]:
        """CPU seconds so far of each of its processes."""
        return cpu_s_by_process(self.started.root_pids())


@contextmanager
def serving(config: Path) -> Iterator[Production]:
    """Serve a file until the end.

    Raises:
        HostUnavailable: It does not get ready; the message has the end of its log.
    """
    http = yaml.safe_load(config.read_text())["http_options"]
    url = f"http://{http['host']}:{http['port']}"
    command = [str(Path(sys.executable).parent / "serve-app"), "serve", str(config.absolute())]
    with started(Program("soak", command, [http["port"], DASHBOARD_PORT], stop_s=_STOP_S)) as running:
        if not wait_until(lambda: not running.is_alive or is_ready(url), _READY_S) or not running.is_alive:
            raise HostUnavailable(f"{config} is not ready; {running.log} ends with\n{running.log_tail()}")
        yield Production(url, running)


def is_ready(url: str) -> bool:
    """Whether a server says that it is."""
    try:
        return httpx.get(f"{url}/v2/health/ready", timeout=_PROBE_S).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
