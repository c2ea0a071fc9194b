import pytest

from serve_app.config.manifest import Format
from serve_app.errors import AcceleratorMissing, ConfigError
from serve_app.runtimes.device import choose_device


@pytest.mark.parametrize("fmt", list(Format))
def test_cpu_is_always_the_cpu(fmt):
    assert choose_device("cpu", fmt) == "cpu"


@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles"])
@pytest.mark.parametrize("fmt", list(Format))
def test_auto_takes_the_cpu_where_no_gpu_may_be_seen(monkeypatch, fmt, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert choose_device("auto", fmt) == "cpu"


@pytest.mark.parametrize("fmt", [Format.ONNX, Format.TORCHSCRIPT, Format.TORCH_EXPORT, Format.PYTHON])
def test_gpu_refuses_where_there_is_none(monkeypatch, fmt):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(AcceleratorMissing, match=f"format {fmt} asks for accelerator: gpu and there is none"):
        choose_device("gpu", fmt)


@pytest.mark.parametrize("fmt", [Format.SKOPS, Format.JOBLIB, Format.PICKLE])
def test_scikit_learn_has_no_use_for_a_gpu(fmt):
    with pytest.raises(ConfigError, match="run on CPUs only"):
        choose_device("gpu", fmt)
