"""Warm-up, golden rows and measurement of a fake model on a clock that only it moves."""

import pytest
from support.versions import doubling, onnx_document

from serve_app.config.manifest import Manifest
from serve_app.config.release import BatchingConfig
from serve_app.dataflow.profile import single
from serve_app.dataflow.rehearsal import Rehearsal
from serve_app.errors import CheckFailed, InvalidInput, ModelRaised, RemoteUnavailable

GOLDEN = {"inputs": {"x": [[1, 2], [3, 4], [5, 6]]}, "outputs": {"y": [[2, 4], [6, 8], [10, 12]]}}


class Model:
    """y = 2 x, in `seconds_per_row` of made-up time; raises at `fails_at` rows."""

    def __init__(self, seconds_per_row=0.001, fails_at=0, error=None) -> None:
        self.now, self.executed = 0.0, []
        self._seconds_per_row, self._fails_at, self._error = seconds_per_row, fails_at, error

    def __call__(self, inputs):
        rows = len(inputs["x"])
        self.executed.append(rows)
        self.now += self._seconds_per_row * rows
        if rows == self._fails_at:
            raise self._error
        return {"y": 2 * inputs["x"]}

    def rehearsal(self, batching=None, **document) -> Rehearsal:
        manifest = Manifest.model_validate(onnx_document(doubling()) | document)
        return Rehearsal(manifest, batching or BatchingConfig(max_rows=8), "m-v1", lambda: self.now)


@pytest.mark.parametrize(
    ("batching", "executed"),
    [
        (BatchingConfig(max_rows=8), [2, 8]),
        (BatchingConfig(max_rows=8, allowed_rows=(4, 8)), [4, 8]),
        (BatchingConfig(max_rows=1), [1, 2]),
        (BatchingConfig(max_rows=8, max_batch_bytes=79), [2, 4]),  # a row has 8 bytes of inputs and 8 of outputs
        (BatchingConfig(max_rows=8, max_batch_bytes=1), [1, 2]),
    ],
    ids=["sizes", "allowed", "one", "bytes", "a row is over"],
)
def test_the_warm_up_has_the_sizes_named_and_those_of_traffic(batching, executed):
    model = Model()
    taken_s = model.rehearsal(batching, warmup={"rows": [2]}).check(model)
    assert model.executed == executed
    assert taken_s == {rows: pytest.approx(0.001 * rows) for rows in executed}


def test_golden_rows_are_executed_in_the_sizes_of_traffic():
    model = Model()
    model.rehearsal(BatchingConfig(max_rows=2, allowed_rows=(2,)), golden=[GOLDEN]).check(model)
    assert model.executed == [2, 2, 2]  # the warm-up, then three golden rows
    wrong = GOLDEN | {"outputs": {"y": [[2, 4], [6, 8], [10, 13]]}}
    with pytest.raises(CheckFailed, match="m-v1: golden 0: output 'y' differs by up to 1"):
        model.rehearsal(golden=[wrong]).check(model)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModelRaised("m-v1", "KeyError"), "warm-up with 8 rows: KeyError"),
        (InvalidInput("input 'x'", "is no text"), "warm-up with 8 rows: input 'x' is no text"),
        (MemoryError(), "warm-up with 8 rows: MemoryError"),
    ],
)
def test_a_failed_execution_is_a_failed_check(error, reason):
    model = Model(fails_at=8, error=error)
    with pytest.raises(CheckFailed, match=f"m-v1: {reason}"):
        model.rehearsal().check(model)


def test_golden_rows_that_fit_no_signature_fail_the_check():
    golden = {"inputs": {"x": [[1, 2, 3]]}, "outputs": {"y": [[2, 4, 6]]}}
    with pytest.raises(CheckFailed, match="m-v1: warm-up with 1 rows: 'x' has shape"):
        Model().rehearsal(golden=[golden]).check(Model())


def test_a_model_that_raises_on_golden_rows_fails_the_check():
    model = Model(fails_at=3, error=ModelRaised("m-v1", "KeyError"))
    with pytest.raises(CheckFailed, match="m-v1: golden: m-v1 failed: KeyError"):
        model.rehearsal(golden=[GOLDEN]).check(model)


AWAY = RemoteUnavailable("m-v1 node far", "127.0.0.1:8001", "connection refused")


@pytest.mark.parametrize(("fails_at", "at"), [(8, "warm-up with 8 rows"), (3, "golden")])
def test_a_node_that_is_away_fails_the_check_with_its_address(fails_at, at):
    model = Model(fails_at=fails_at, error=AWAY)
    with pytest.raises(CheckFailed, match=rf"^m-v1: {at}: m-v1 node far cannot be answered by 127\.0\.0\.1:8001: conn"):
        model.rehearsal(golden=[GOLDEN]).check(model)


def test_a_node_that_fails_is_named():
    model = Model(fails_at=8, error=ModelRaised("m-v1 node far", "KeyError"))
    with pytest.raises(CheckFailed, match=r"^m-v1: warm-up with 8 rows: m-v1 node far failed: KeyError$"):
        model.rehearsal().check(model)


def medians_ms(profile):
    return {rows: round(1000 * taken.median_s, 6) for rows, taken in profile.items()}


def test_the_sizes_of_traffic_are_measured():
    model = Model()
    assert medians_ms(model.rehearsal().measure(model, {}, "cpu")) == {1: 1, 2: 2, 4: 4, 8: 8}
    allowed = BatchingConfig(max_rows=6, allowed_rows=(3, 6))
    assert medians_ms(model.rehearsal(allowed).measure(model, {}, "cpu")) == {3: 3, 6: 6}


def test_a_size_that_there_is_no_time_for_is_known_from_the_warm_up():
    model = Model(seconds_per_row=0.2)
    profile = model.rehearsal().measure(model, {1: 0.5, 8: 1.7}, "cpu")
    assert medians_ms(profile) == {1: 200, 8: 1700}
    assert profile[8] == single(1.7)


@pytest.mark.parametrize(
    ("device", "batching", "known"),
    [
        ("cpu", BatchingConfig(max_rows=8), {4: 700}),
        ("cuda:0", BatchingConfig(max_rows=8), {}),
        ("cpu", BatchingConfig(max_rows=8, allowed_rows=(1, 8)), {}),
    ],
    ids=["the same device", "another device", "a size that is not allowed"],
)
def test_a_size_that_is_not_measured_is_known_from_where_the_version_was_added(device, batching, known):
    model = Model(seconds_per_row=0.2)  # twice as slow as there
    profile = {"device": "cpu", "threads": 1, "ms_by_rows": {1: 100, 4: 350, 32: 3000}}
    measured = model.rehearsal(batching, profile=profile).measure(model, {8: 1.7}, device)
    assert medians_ms(measured) == {1: 200, **known, 8: 1700}


def test_a_failure_in_the_sweep_is_a_failed_check():
    model = Model(fails_at=4, error=ModelRaised("m-v1", "KeyError"))
    with pytest.raises(CheckFailed, match="m-v1: warm-up with 4 rows: KeyError"):
        model.rehearsal().measure(model, {}, "cpu")
