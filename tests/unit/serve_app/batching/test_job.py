"""A block in pieces, and its way back."""

from __future__ import annotations

import gc
import weakref

import numpy as np
from support.arithmetic import block, rows

from serve_app.batching.job import Job, join, runs_of, shapes_of
from serve_app.errors import ModelRaised
from serve_app.types import Block, BlockEntry, EntryResult, Timings
from serve_app.visits import NodeVisit


async def test_entries_over_the_limit_are_cut():
    job = Job(block(rows(1), rows(*range(5))), now=0.0, max_rows=2)
    assert [(piece.entry, piece.start, piece.stop) for piece in job.pieces] == [
        (0, 0, 1),
        (1, 1, 3),
        (1, 3, 5),
        (1, 5, 6),
    ]


async def test_neighbouring_pieces_are_one_run_without_a_copy():
    job = Job(block(rows(1), rows(2), rows(3)), now=0.0, max_rows=8)
    pieces = job.pieces
    (run,) = runs_of(pieces)
    assert (run.start, run.stop) == (0, 3)
    assert np.shares_memory(run.inputs()["x"], job.block.inputs["x"])
    assert len(runs_of([pieces[0], pieces[2]])) == 2


async def test_an_entry_that_failed_in_part_gives_no_rows_and_shifts_nobody():
    sent = block(rows(1), rows(2, 2, 2), rows(3))
    job = Job(sent, now=0.0, max_rows=2)
    pieces = list(job.pieces)  # entry 1 in two
    job.add_part(0, {"total": np.array([10, 20, 20])})  # rows 0..2
    job.executed(pieces[0], EntryResult(timings=Timings()))
    job.executed(pieces[1], EntryResult(timings=Timings()))
    job.fail(pieces[2], ModelRaised("m-v1", "it raised"))
    job.add_part(4, {"total": np.array([30])})
    job.executed(pieces[3], EntryResult(timings=Timings()))
    answers = list((await job.reply).per_entry(sent))
    assert [None if outputs is None else outputs["total"].tolist() for outputs, _ in answers] == [[10], None, [30]]


async def test_an_entry_in_several_batches_reports_all_their_time():
    job = Job(block(rows(1, 2, 3)), now=0.0, max_rows=2)
    first, second = job.pieces
    job.add_part(2, {"y": np.array([3])})
    job.executed(second, EntryResult(timings=Timings(0.1, 0.2, 0.3, 1)))
    job.add_part(0, {"y": np.array([1, 2])})
    job.executed(first, EntryResult(timings=Timings(0.5, 0.2, 0.4, 2)))
    reply = await job.reply
    assert reply.outputs["y"].tolist() == [1, 2, 3]
    timings = reply.results[0].timings
    assert (timings.queue_s, round(timings.compute_s, 6), timings.batch_rows) == (0.1, 0.7, 2)


async def test_what_was_done_in_several_batches_is_told_one_behind_the_other():
    job = Job(block(rows(1, 2, 3)), now=0.0, max_rows=2)
    visits = (NodeVisit("a", 2, 0.0, 1.0, 2), NodeVisit("b", 2, 1.0, 2.0, 2))
    for piece in list(job.pieces):
        job.add_part(piece.start, {"y": np.zeros(piece.rows)})
        job.executed(piece, EntryResult(timings=Timings(compute_s=0.004), visits=visits))
    told = (await job.reply).results[0].visits
    assert [(visit.node, visit.begin_ms, visit.ms) for visit in told] == [
        *(("a", 0, 1), ("b", 1, 2)),
        *(("a", 4, 1), ("b", 5, 2)),
    ]


def test_join_copies_only_where_it_must():
    one = {"x": np.arange(3)}
    assert join([one]) is one
    assert join([one, one])["x"].tolist() == [0, 1, 2, 0, 1, 2]
    assert join([]) == {}


def test_rows_are_joined_in_the_memory_they_are_given():
    one, given = {"x": np.arange(6, dtype=np.int16).reshape(3, 2)}, []

    def empty(shape, dtype):
        given.append(np.empty(shape, dtype))
        return given[0]

    assert join([one, one], empty)["x"] is given[0]
    assert (given[0].dtype, given[0].tolist()) == (np.int16, [[0, 1], [2, 3], [4, 5]] * 2)
    assert join([one], empty) is one


def test_shapes_ignore_rows_and_order():
    a = {"x": np.zeros((1, 2)), "m": np.zeros((1,), bool)}
    b = {"m": np.zeros((9,), bool), "x": np.zeros((9, 2))}
    assert shapes_of(a) == shapes_of(b)
    assert shapes_of(a) != shapes_of({**a, "x": np.zeros((1, 3))})


async def test_a_piece_has_its_entrys_deadline_priority_and_share_of_the_bytes():
    sent = Block({"x": rows(1, 2, 3)}, (BlockEntry(2, timeout_s=4.0, priority=1), BlockEntry(1)))
    first, second = Job(sent, now=10.0, max_rows=8, row_bytes=12).pieces
    assert (first.deadline, first.priority, first.nbytes) == (14.0, 1, 24)
    assert (second.deadline, second.priority, second.nbytes) == (float("inf"), 5, 12)


async def test_a_piece_can_be_cut_again_while_it_waits():
    job = Job(block(rows(1, 2, 3, 4, 5)), now=0.0, max_rows=8, row_bytes=3)
    parts = job.cut(job.pieces[0], 2)
    assert [(part.start, part.stop, part.nbytes) for part in parts] == [(0, 2, 6), (2, 4, 6), (4, 5, 3)]
    for part in parts:
        job.add_part(part.start, {"y": np.arange(part.start, part.stop)})
        job.executed(part, EntryResult())
    assert (await job.reply).outputs["y"].tolist() == [0, 1, 2, 3, 4]


async def test_nothing_keeps_the_tensors_of_a_job_that_is_over():
    gc.disable()
    try:
        for is_answered in (True, False):
            job = Job(block(rows(1), rows(2)), now=0.0, max_rows=2)
            if is_answered:
                job.add_part(0, {"y": np.array([1, 2])})
                for piece in job.pieces:
                    job.executed(piece, EntryResult())
            else:
                assert [piece.entry for piece in job.leave()] == [1, 0]
            inputs = weakref.ref(job.block.inputs["x"])
            piece = None
            del job
            assert inputs() is None
    finally:
        gc.enable()
