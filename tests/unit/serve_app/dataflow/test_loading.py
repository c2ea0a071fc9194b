"""Instances of a version: where they run, what they are made of, and what keeps them from being made."""

from __future__ import annotations

import pytest
from support.versions import doubling, write_version

from serve_app.config.release import BatchingConfig, ReleaseArgs
from serve_app.dataflow.loading import batching_of, load_instances, suited
from serve_app.dataflow.model import load_model
from serve_app.errors import AcceleratorMissing, ConfigError
from serve_app.repository.store import open_version


def args(source, **changes) -> ReleaseArgs:
    return ReleaseArgs.model_validate(
        {"model": "m", "version": "v1", "source": str(source), "accelerator": "cpu"} | changes
    )


def test_gpu_is_refused_by_the_release_s_name_and_auto_goes_on_without(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    directory = write_version(tmp_path, doubling(), {})
    with pytest.raises(AcceleratorMissing, match="m-v1 asks for accelerator: gpu"):
        load_model(args(directory, accelerator="gpu"))
    assert load_model(args(directory, accelerator="auto")).info.device == "cpu"


def test_every_instance_is_loaded_and_they_share_the_cpus(tmp_path):
    directory = write_version(tmp_path, doubling(), {})
    source, runtimes = load_instances(args(directory, runtime={"instances": 2}), open_version(str(directory)), 4.0)
    assert (len(runtimes), len({*runtimes}), source.threads, source.device) == (2, 2, 2, "cpu")


class Greeting:
    """A class of an operator's own."""

    def __init__(self, word: str = "hi") -> None:
        if word == "secret":
            raise OSError("no key at /opt/secret/key")
        self.word = word

    def predict(self, inputs):
        return inputs


def test_a_constructor_gets_its_arguments_and_its_faults_are_the_releases(tmp_path):
    directory = tmp_path / "version"
    tensor = {"datatype": "FP32", "shape": [-1]}
    plain = {"format": "python", "artifact": None, "sha256": None, "inputs": [{"name": "x", **tensor}]}
    write_version(directory, b"", {**plain, "outputs": [{"name": "y", **tensor}]})
    release, version = args(directory, python_class=f"{__name__}:Greeting"), open_version(str(directory))
    source, _ = load_instances(release, version, 1.0, {"word": "ho"})
    assert source.arguments == {"word": "ho"}
    with pytest.raises(ConfigError, match="m-v1 cannot be loaded: OSError: no key at <path>"):
        load_instances(release, version, 1.0, {"word": "secret"})


def test_batching_that_cannot_be_names_the_release(tmp_path):
    manifest = open_version(str(write_version(tmp_path, doubling(), {"batching": {"max_queue_rows": 99}}))).manifest
    assert batching_of(args(tmp_path, batching={"max_rows": 4}), manifest).max_queue_rows == 99
    with pytest.raises(ConfigError, match=r"m-v1: batching: .*max_queue_rows 99 < max_rows 100"):
        batching_of(args(tmp_path, batching={"max_rows": 100}), manifest)


class Sized:
    """Slow whenever the rows change."""

    wants_few_sizes, device, fixed_rows, ready_for = True, "cuda:0", None, 0

    def prepare(self, sizes: int) -> None:
        self.ready_for = sizes

    def predict(self, inputs):
        return inputs


@pytest.mark.parametrize(
    ("batching", "sizes"),
    [
        ({"max_rows": 12}, (1, 2, 4, 8, 12)),
        ({"max_rows": 16}, (1, 2, 4, 8, 16)),
        ({"max_rows": 9, "allowed_rows": [3, 9]}, (3, 9)),
        ({"max_rows": 12, "max_batch_bytes": 12 * 16 - 1}, ()),  # the largest could never be executed
    ],
)
def test_instances_that_want_few_sizes_get_them_and_are_ready(tmp_path, batching, sizes):
    manifest = open_version(str(write_version(tmp_path, doubling(), {}))).manifest
    runtimes = (Sized(), Sized())
    assert suited(BatchingConfig(**batching), manifest, runtimes).allowed_rows == sizes
    assert [runtime.ready_for for runtime in runtimes] == [len(sizes)] * 2


def test_other_instances_take_any_size(tmp_path):
    version = open_version(str(write_version(tmp_path, doubling(), {})))
    _, runtimes = load_instances(args(tmp_path), version, 1.0)
    batching = BatchingConfig(max_rows=12)
    assert suited(batching, version.manifest, runtimes) is batching
