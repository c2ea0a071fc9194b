"""NVIDIA's asyncio clients against the running server, each in a process of its own: two register the same messages."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMMON = """
import asyncio, sys
import numpy as np
import tritonclient.{kind}.aio as triton
from tritonclient.utils import InferenceServerException

rows = np.load("tests/data/digits.npy").astype(np.float32)[:5].reshape(5, 64)

def pixels(given=rows, **form):
    return [triton.InferInput("pixels", given.shape, "FP32").set_data_from_numpy(given, **form)]

def field(answer, name):
    return answer[name] if isinstance(answer, dict) else getattr(answer, name)

async def checks(client):
    assert await client.is_server_live() and await client.is_server_ready() and await client.is_model_ready("digits")
    assert field(await client.get_server_metadata(), "name") == "serve-app"
    metadata = await client.get_model_metadata("digits", "v1")
    assert field(field(metadata, "inputs")[0], "name") == "pixels"
    config = await client.get_model_config("digits", "v1")
    assert field(config if isinstance(config, dict) else config.config, "max_batch_size") > 0
    figures = await client.get_inference_statistics("digits", "v1")
    assert field(field(figures, "model_stats")[0], "version") == "v1"
    index = await client.get_model_repository_index()
    assert "digits" in str(index)
    whole = await client.infer("digits", pixels(), model_version="v1", request_id="mine")
    assert field(whole.get_response(), "id") == "mine"
    wanted = [triton.InferRequestedOutput("label")]
    label = await client.infer("digits", pixels(), model_version="v1", outputs=wanted)
    assert label.as_numpy("probabilities") is None
    np.testing.assert_array_equal(label.as_numpy("label"), whole.as_numpy("label"))
    best = [triton.InferRequestedOutput("probabilities", class_count=2)]
    assert (await client.infer("digits", pixels(), outputs=best)).as_numpy("probabilities").shape == (5, 2)
    for algorithm in ("gzip", "deflate"):
        packed = await client.infer("digits", pixels(), model_version="v1", **{compression}(algorithm))
        np.testing.assert_array_equal(packed.as_numpy("probabilities"), whole.as_numpy("probabilities"))
    many = await asyncio.gather(*(client.infer("digits", pixels(rows[[n % 5]]), model_version="v1") for n in range(40)))
    assert [int(one.as_numpy("label")[0]) for one in many] == [int(whole.as_numpy("label")[n % 5]) for n in range(40)]
    leaving = asyncio.create_task(client.infer("digits", pixels()))
    await asyncio.sleep(0)
    leaving.cancel()
    try:
        await leaving
        raise AssertionError("a cancelled call was answered")
    except asyncio.CancelledError:
        pass
    for sentence, name, given, more in (
        ("not served here", "nobody", rows, {{}}),
        ("pixels", "digits", rows[:, :3], {{}}),
        ("digits", "digits", rows, {{"timeout": 1}}),
    ):
        try:
            await client.infer(name, pixels(given), **more)
            raise AssertionError(sentence)
        except InferenceServerException as error:
            assert sentence in error.message(), error
    try:
        await client.load_model("digits")
        raise AssertionError("a model was loaded")
    except InferenceServerException as error:
        assert "by a call" in error.message(), error
    {more}

async def main():
    async with triton.InferenceServerClient(sys.argv[1]) as client:
        await checks(client)
    print("all held")

asyncio.run(main())
"""

HTTP = COMMON.format(
    kind="http",
    compression="(lambda name: {'request_compression_algorithm': name, 'response_compression_algorithm': name})",
    more="""
    in_json = await client.infer("digits", pixels(binary_data=False), model_version="v1")
    np.testing.assert_array_equal(in_json.as_numpy("label"), whole.as_numpy("label"))
""",
)
GRPC = COMMON.format(
    kind="grpc",
    compression="(lambda name: {'compression_algorithm': name})",
    more="""
    async def sent():
        for number in range(10):
            yield {"model_name": "digits", "inputs": pixels(rows[[number % 5]]), "request_id": str(number),
                   "model_version": "v1"}
    answers = {}
    async for result, error in client.stream_infer(sent()):
        assert error is None, error
        answers[int(result.get_response().id)] = int(result.as_numpy("label")[0])
        if len(answers) == 10:
            break
    assert [answers[n] for n in range(10)] == [int(whole.as_numpy("label")[n % 5]) for n in range(10)]
    try:
        await client.infer("digits", pixels(), client_timeout=0.00005)
        raise AssertionError("no deadline")
    except InferenceServerException as error:
        assert "DEADLINE_EXCEEDED" in error.status(), error
""",
)


@pytest.mark.parametrize(("script", "address"), [(HTTP, "url"), (GRPC, "grpc_address")], ids=["http", "grpc"])
def test_the_asyncio_client_finds_all_that_it_knows(server, script, address):
    command = [sys.executable, "-c", script, getattr(server, address).removeprefix("http://")]
    done = subprocess.run(  # noqa: S603 - our own script
        command, cwd=server.root, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.stdout == "all held\n", done.stderr[-3000:]
