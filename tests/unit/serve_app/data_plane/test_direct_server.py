"""The replica's end by itself: where it listens, and that its end waits for gateways only so long."""

from __future__ import annotations

import asyncio
import logging
import stat
import tempfile
from pathlib import Path

import pytest

from serve_app.data_plane import direct_server
from serve_app.data_plane.direct_server import DirectServer


@pytest.fixture
def path():
    with tempfile.TemporaryDirectory(prefix="d", dir="/tmp") as name:
        yield Path(name) / "socket"


async def nothing(*_: object) -> tuple[()]:
    return ()


async def test_only_its_own_user_may_connect(path):
    server = DirectServer(path, nothing)
    await server.listen()
    mode = path.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    await server.close()
    assert not path.exists()


async def test_a_path_that_cannot_be_is_told_and_harms_nothing(path, caplog):
    server = DirectServer(path / "none" / "such", nothing)
    with caplog.at_level(logging.WARNING):
        await server.listen()
    assert "calls come by handle only" in caplog.text
    await server.close()


async def test_a_gateway_that_does_not_leave_is_not_waited_for_long(path, monkeypatch):
    monkeypatch.setattr(direct_server, "LEAVING_S", 0.01)
    server = DirectServer(path, nothing)
    await server.listen()
    _, writer = await asyncio.open_unix_connection(str(path))
    async with asyncio.timeout(10):
        await server.close()
    (left,) = server.connections
    writer.close()
    await left.gone
