"""What travels, and that it survives the way between replicas."""

from __future__ import annotations

import pickle

import numpy as np
from support.arithmetic import INFO, block, rows

from serve_app.datatypes import Datatype
from serve_app.errors import Overloaded
from serve_app.types import (
    BlockEntry,
    BlockReply,
    Duration,
    EntryResult,
    InferenceRequest,
    ReleaseStatistics,
    SizeStatistics,
    TensorSpec,
    Timings,
    nbytes_of,
    release_name,
    rows_of,
)
from serve_app.visits import NodeVisit


def again(thing):
    return pickle.loads(pickle.dumps(thing))  # noqa: S301 - our own bytes


def test_a_block_and_its_reply_survive_pickling():
    sent = again(block(rows(1), rows(2, 3), timeout_s=0.5))
    assert sent.rows == 3
    assert [(entry.rows, entry.request_id, entry.timeout_s) for entry in sent.entries] == [
        (1, "r0", 0.5),
        (2, "r1", 0.5),
    ]
    reply = again(
        BlockReply({"y": np.array([7])}, (EntryResult(timings=Timings(1, 2, 3, 4)), EntryResult(Overloaded("m", 1))))
    )
    assert reply.results[0].timings == Timings(1, 2, 3, 4)
    assert str(reply.results[1].error) == str(Overloaded("m", 1))


def test_what_was_done_for_an_entry_travels_with_its_result():
    assert again(BlockEntry(1, "r1", explain=True)) == BlockEntry(1, "r1", explain=True)
    visits = (NodeVisit("a", 1, 0.5, 2.0, 8, version="v1"), NodeVisit("s", 1, 2.5, 1.0, 8, chosen={"a": 1}))
    result = EntryResult(None, Timings(1, 2, 3, 4), {"e.a": "gone"}, visits)
    assert again(result) == result


def test_entries_with_an_error_have_no_rows_in_the_reply():
    sent = block(rows(1), rows(2, 2), rows(3))
    results = (EntryResult(), EntryResult(Overloaded("m", 1)), EntryResult())
    answers = list(BlockReply({"y": np.array([10, 30])}, results).per_entry(sent))
    assert [None if outputs is None else outputs["y"].tolist() for outputs, _ in answers] == [[10], None, [30]]


def test_a_release_and_a_request_survive_pickling():
    assert again(INFO) == INFO
    assert INFO.release == release_name("arithmetic", "v1") == "arithmetic-v1"
    request = again(InferenceRequest("m", {"x": rows(1, 2)}, timeout_s=0.1))
    assert (request.rows, request.timeout_s, request.model_version) == (2, 0.1, "")


def test_the_figures_of_replicas_add_up():
    one = ReleaseStatistics(
        answered=Duration(3, 1.5),
        failed=Duration(1, 0.5),
        queue=Duration(3, 0.25),
        sizes={1: SizeStatistics(Duration(2, 0.5), Duration(2, 1.0)), 4: SizeStatistics(compute=Duration(1, 0.75))},
        last_executed_s=20.0,
    )
    other = ReleaseStatistics(
        answered=Duration(2, 0.5),
        merge=Duration(2, 0.125),
        compute=Duration(2, 0.5),
        sizes={4: SizeStatistics(compute=Duration(2, 0.25)), 8: SizeStatistics(compute=Duration(1, 2.0))},
        last_executed_s=10.0,
    )
    assert again(one) + again(other) == ReleaseStatistics(
        answered=Duration(5, 2.0),
        failed=Duration(1, 0.5),
        queue=Duration(3, 0.25),
        merge=Duration(2, 0.125),
        compute=Duration(2, 0.5),
        sizes={
            1: SizeStatistics(Duration(2, 0.5), Duration(2, 1.0)),
            4: SizeStatistics(compute=Duration(3, 1.0)),
            8: SizeStatistics(compute=Duration(1, 2.0)),
        },
        last_executed_s=20.0,
        replicas=2,
    )


def test_sizes():
    tensors = {"x": np.zeros((2, 3), np.float32), "s": np.array([b"abc", b""], object)}
    assert rows_of(tensors) == 2
    assert nbytes_of(tensors) == 24 + 3
    assert rows_of({}) == 0
    assert TensorSpec("x", Datatype.FP32, (-1, 3, -1)).row_bytes == 12
    assert TensorSpec("s", Datatype.BYTES, (-1,)).row_bytes == 64
