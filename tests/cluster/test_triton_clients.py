"""NVIDIA's four clients against the running server, each in a process of its own, with every datatype at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from support.datatype_values import VALUES

MANIFEST = {
    "format": "python",
    "inputs": [{"name": name.lower(), "datatype": name.value, "shape": [-1, 2]} for name in VALUES],
    "outputs": [{"name": f"{name.lower()}_back", "datatype": name.value, "shape": [-1, 2]} for name in VALUES],
}

COMMON = """
import asyncio, inspect, queue, sys
import numpy as np
import tritonclient.{kind} as triton
from serve_app.datatypes import Datatype
from support.datatype_values import VALUES
from tritonclient.utils import InferenceServerException

NOT_IN_JSON = {{Datatype.FP16, Datatype.BF16, Datatype.BYTES}}  # these bytes are no text

async def result(of):
    return await of if inspect.isawaitable(of) else of

def inputs(rows=1, form=lambda name: {{}}):
    return [
        triton.InferInput(name.lower(), [rows, 2], name.value).set_data_from_numpy(values.repeat(rows, 0), **form(name))
        for name, values in VALUES.items()
    ]

def check(answer, rows=1):
    for name, values in VALUES.items():
        back = answer.as_numpy(f"{{name.lower()}}_back")
        np.testing.assert_array_equal(back, values.repeat(rows, 0), name, strict=True)

async def refused(call):
    try:
        await result(call())
    except InferenceServerException as error:
        return f"{{error.status()}} {{error.message()}}"
    raise AssertionError("it was answered")

async def main():
    client = triton.InferenceServerClient(sys.argv[1])
    for rows in (1, 3):
        check(await result(client.infer("same", inputs(rows))), rows)
    wanted = [triton.InferRequestedOutput(name) for name in ("bytes_back", "bf16_back")]
    few = await result(client.infer("same", inputs(), outputs=wanted))
    assert few.as_numpy("fp32_back") is None
    np.testing.assert_array_equal(few.as_numpy("bytes_back"), VALUES[Datatype.BYTES])
    assert "same" in await refused(lambda: client.infer("same", inputs(), timeout=1000))  # microseconds
    for check_of in ({checks}):
        await check_of(client)
    await result(client.close())
    print("all held")

async def mixed(client):
    form = lambda name: {{"binary_data": name in NOT_IN_JSON}}
    wanted = [triton.InferRequestedOutput(f"{{name.lower()}}_back", binary_data=name in NOT_IN_JSON) for name in VALUES]
    check(await result(client.infer("same", inputs(2, form), outputs=wanted)), 2)

async def at_once(client):
    under_way = [client.async_infer("same", inputs(rows)) for rows in (1, 2, 3)]
    for rows, one in enumerate(under_way, 1):
        check(one.get_result(), rows)

async def by_callback(client):
    told = queue.Queue()
    def tell(result, error):
        told.put((result, error))
    def check_all():
        for _ in range(3):
            answer, error = told.get(timeout=30)
            assert error is None, error
            check(answer, int(answer.get_response().id))
    for rows in (1, 2, 3):
        client.async_infer("same", inputs(rows), tell, request_id=str(rows))
    check_all()
    client.async_infer("same", inputs(8), tell).cancel()
    _, error = told.get(timeout=30)
    assert "cancelled" in error.message().lower(), error
    client.start_stream(tell)
    for rows in (1, 2, 3):
        client.async_stream_infer("same", inputs(rows), request_id=str(rows))
    check_all()
    client.stop_stream()

async def in_time(client):
    assert "DEADLINE_EXCEEDED" in await refused(lambda: client.infer("same", inputs(8), client_timeout=0.01))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def same(server, tmp_path_factory) -> Iterator[None]:
    with server.beside("same", tmp_path_factory.mktemp("same"), "support.same_model:Same", MANIFEST):
        yield


@pytest.mark.parametrize(
    ("kind", "checks", "address"),
    [
        ("http", "mixed, at_once", "url"),
        ("http.aio", "mixed,", "url"),
        ("grpc", "by_callback, in_time", "grpc_address"),
        ("grpc.aio", "in_time,", "grpc_address"),
    ],
)
def test_every_datatype_comes_back_as_it_was(server, same, kind, checks, address):
    script = COMMON.format(kind=kind, checks=checks)
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", script, getattr(server, address).removeprefix("http://")],
        cwd=server.root,
        env={**os.environ, "PYTHONPATH": str(server.root / "tests")},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.stdout == "all held\n", done.stderr[-3000:]
