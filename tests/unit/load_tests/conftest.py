from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.http_servers import ThreadServer, serving


@pytest.fixture
def thread_server() -> Iterator[ThreadServer]:
    """A server outside this thread, for loads that block or come from other processes."""
    with serving() as server:
        yield server
