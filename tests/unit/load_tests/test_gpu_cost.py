"""The exported nets take any number of rows, and a closed loop counts what it was answered."""

from __future__ import annotations

import numpy as np
import pytest

from load_tests import gpu_cost
from load_tests.gpu_cost import (
    BATCHES,
    MAX_ROWS,
    Load,
    executions,
    images,
    release,
    served,
    time_ms,
    times_in_turns_ms,
)
from load_tests.gpu_cost import repository_at as repository
from serve_app.config.release import RuntimeConfig
from serve_app.dataflow.block_server import BlockServer
from serve_app.dataflow.model import load_model
from serve_app.observability.metrics import NoMetrics


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return repository(tmp_path_factory.mktemp("nets"), ("torch_export", "onnx"), sides=(16,))


def test_both_formats_are_the_same_net(sources):
    answers = []
    for source in sources.values():
        model = load_model(release(source, "cpu", max_rows=4))
        name = model.info.inputs[0].name
        (answer,) = model.predict({name: images(3, 16)}).values()
        answers.append(answer)
        assert time_ms(model.predict, name, images(1, 16), seconds=0) > 0
        assert times_in_turns_ms(model.predict, name, 16, seconds=0).keys() == set(BATCHES)
    np.testing.assert_allclose(*answers, rtol=1e-4, atol=1e-5)
    assert max(BATCHES) == MAX_ROWS


async def test_a_closed_loop_counts_rows_and_batches(sources):
    server = BlockServer.load(release(sources["onnx", 16], "cpu", max_rows=8), NoMetrics())
    got = await served(server, "image", images(2, 16), Load(4, 2), seconds=0.05)
    server.close()
    assert got.rows_per_s > 0
    assert got.p50_ms > 0
    assert 2 <= got.batch_rows <= 8
    assert sum(rows * count for rows, count in executions(server).items()) >= 8


async def test_both_stagings_are_measured_where_there_are_two(sources, monkeypatch):
    monkeypatch.setattr(gpu_cost, "LOADS", (Load(2, 1),))
    table = await gpu_cost.served_table(sources, "cpu", RuntimeConfig(), seconds=0.01)
    stagings = {(model, staging) for model, staging in zip(*(table.columns[at].cells for at in (0, 2)), strict=True)}
    assert stagings == {
        ("torch_export 16", "any memory"),
        ("torch_export 16", "pinned memory"),
        ("onnx 16", "any memory"),
        ("onnx 16", "pinned memory"),
    }
