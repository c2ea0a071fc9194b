"""Settings without effect: the same ones that the runtimes refuse."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from serve_app.config.manifest import Format
from serve_app.config.release import ReleaseArgs
from serve_app.config.useless_settings import useless_settings
from serve_app.errors import AcceleratorMissing, ConfigError
from serve_app.runtimes.base import RuntimeSource
from serve_app.runtimes.device import choose_device
from serve_app.runtimes.registry import load_runtime

LEAST = {"model": "m", "version": "v1", "source": "s"}


def paths(fmt, **more):
    return [path for path, _ in useless_settings(ReleaseArgs.model_validate({**LEAST, **more}), fmt)]


@pytest.mark.parametrize("fmt", Format)
def test_defaults_are_good(fmt):
    assert paths(fmt) == []


@pytest.mark.parametrize("fmt", Format)
def test_the_device_is_refused_where_the_runtime_refuses_it(fmt, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # no library is asked
    refused = False
    try:
        choose_device("gpu", fmt)
    except AcceleratorMissing:  # depends on the machine
        pass
    except ConfigError:
        refused = True
    assert (paths(fmt, accelerator="gpu") == [("accelerator",)]) is refused


@pytest.mark.parametrize("fmt", Format)
def test_tf32_is_refused_where_there_is_never_a_gpu(fmt):
    assert paths(fmt, accelerator="cpu", runtime={"precision": "tf32"}) == [("runtime", "precision")]


@pytest.mark.parametrize(
    "runtime", [*({"precision": name} for name in ("tf32", "fp16", "bf16")), {"threads": 1}, {"instances": 2}]
)
@pytest.mark.parametrize("fmt", Format)
def test_a_runtime_setting_is_refused_where_the_runtime_refuses_it(fmt, runtime, tmp_path):
    config = ReleaseArgs.model_validate({**LEAST, "runtime": runtime}).runtime
    source = RuntimeSource(SimpleNamespace(format=fmt), Path(tmp_path), "cpu", config)
    found = paths(fmt, runtime=runtime)
    assert found in ([], [("runtime", *runtime)])
    with pytest.raises(Exception, match="has no effect on format" if found else "^(?!.*has no effect)"):
        load_runtime(source)
