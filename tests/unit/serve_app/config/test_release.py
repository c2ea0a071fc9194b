"""A release's args."""

import pytest
from pydantic import ValidationError

from serve_app.config.release import BatchingConfig, ReleaseArgs, merged
from serve_app.errors import ConfigError

LEAST = {"model": "digits", "version": "v1", "source": "models/digits/v1"}


def test_the_least_that_can_be_said_is_enough():
    args = ReleaseArgs.model_validate(LEAST)
    assert args.release == "digits-v1"
    assert (args.accelerator, args.batching, args.slo_ms, args.trusted_sha256) == ("auto", None, None, ())
    assert (args.runtime.threads, args.runtime.instances, args.runtime.precision) == (None, 1, "fp32")


@pytest.mark.parametrize("key", LEAST)
def test_nothing_of_it_can_be_left_out(key):
    with pytest.raises(ValidationError, match=key):
        ReleaseArgs.model_validate({name: value for name, value in LEAST.items() if name != key})


@pytest.mark.parametrize(
    "more",
    [
        {"accelerator": "tpu"},
        {"slo_ms": 0},
        {"source": ""},
        {"version": "../v1"},
        {"python_class": "os.system"},
        {"python_class": "a b:C"},
        {"trusted_sha256": ["abc"]},
        {"runtime": {"precision": "int4"}},
        {"runtime": {"threads": 0}},
        {"runtime": {"instances": 0}},
        {"runtime": {"instances": 17}},
        {"batchng": {}},
        {"slo_ms": True},
        {"batching": {"max_rows": True}},
        {"runtime": {"threads": True}},
    ],
)
def test_a_setting_that_cannot_take_effect_is_refused(more):
    with pytest.raises(ValidationError):
        ReleaseArgs.model_validate({**LEAST, **more})


def test_a_queue_must_hold_a_batch():
    assert BatchingConfig(max_rows=8, max_queue_rows=8).max_queue_rows == 8
    with pytest.raises(ValidationError, match="max_queue_rows 7 < max_rows 8: a batch could never fill"):
        BatchingConfig(max_rows=8, max_queue_rows=7)


def test_a_part_of_the_batching_is_not_compared_with_defaults():
    for part in ({"max_queue_rows": 32}, {"max_rows": 5000}):
        assert ReleaseArgs.model_validate({**LEAST, "batching": part}).batching.model_fields_set == set(part)


def test_a_field_left_out_is_the_manifest_s():
    manifest = BatchingConfig(max_rows=16)
    assert merged(None, manifest) == manifest
    both = merged(BatchingConfig(max_queue_rows=32), manifest)
    assert (both.max_rows, both.max_queue_rows) == (16, 32)


@pytest.mark.parametrize(
    ("own", "manifest"),
    [
        ({"max_rows": 4000}, {"max_queue_rows": 100}),
        ({"max_queue_rows": 15}, {"max_rows": 16}),
        (None, {"max_rows": 5000}),
    ],
)
def test_the_merged_queue_must_hold_a_batch(own, manifest):
    with pytest.raises(ConfigError, match=r"batching: max_queue_rows .* a batch could never fill"):
        merged(BatchingConfig(**own) if own else None, BatchingConfig(**manifest))


def test_a_release_s_own_ragged_lengths_are_the_merged_ones():
    own = BatchingConfig(ragged={"lengths": [8], "pad": {"x": 0}})
    assert merged(own, BatchingConfig(max_rows=16)).ragged == own.ragged
