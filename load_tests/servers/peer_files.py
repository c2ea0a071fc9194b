"""The configuration that MLServer and TorchServe read from folders, written below `build/bench`."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from load_tests.models import BENCH, Workload
from load_tests.servers.offers import APPS

_MAX_BATCH_ROWS, _MAX_WAIT_MS = 32, 2
_LOG4J = """<Configuration status="error">
  <Appenders><Console name="console"><PatternLayout pattern="%d %p %c - %m%n"/></Console></Appenders>
  <Loggers>
    <Root level="error"><AppenderRef ref="console"/></Root>
    <Logger name="MODEL_LOG" level="warn"/>
  </Loggers>
</Configuration>
"""


def write_mlserver_folder(workloads: Sequence[Workload], ports: Sequence[int], bench: Path = BENCH) -> Path:
    """A folder for `mlserver start`; `ports` are those of HTTP, gRPC and metrics."""
    folder = bench / "mlserver"
    server = {
        "host": "127.0.0.1",
        "http_port": ports[0],
        "grpc_port": ports[1],
        "metrics_port": ports[2],
        "parallel_workers": 0,  # in process: a worker process would cost every request two more hops
        "debug": False,  # no access log
    }
    _write_json(folder / "settings.json", server)
    for workload in workloads:
        model = {
            "name": workload.name,
            "implementation": "mlserver_app.Onnx",
            "max_batch_size": _MAX_BATCH_ROWS,
            "max_batch_time": _MAX_WAIT_MS / 1000,
        }
        _write_json(folder / workload.name / "model-settings.json", model)
    return folder


def write_torchserve_folder(workloads: Sequence[Workload], ports: Sequence[int], bench: Path = BENCH) -> Path:
    """A folder with `config.properties`, `log4j2.xml` and the archives.

    Args:
        workloads: One model each.
        ports: Of inference, management, metrics, gRPC inference and gRPC management.
        bench: Where the folder is made.
    """
    folder = bench / "torchserve"
    store = folder / "store"
    store.mkdir(parents=True, exist_ok=True)
    for workload in workloads:
        _write_archive(store / f"{workload.name}.mar", workload.name)
    inference, management, metrics, grpc_inference, grpc_management = ports
    properties = {
        "inference_address": f"http://127.0.0.1:{inference}",
        "management_address": f"http://127.0.0.1:{management}",
        "metrics_address": f"http://127.0.0.1:{metrics}",
        "grpc_inference_port": grpc_inference,
        "grpc_management_port": grpc_management,
        "model_store": store,
        "load_models": "all",
        "job_queue_size": 4096,
        "models": json.dumps({workload.name: {"1.0": _torchserve_model(workload.name)} for workload in workloads}),
    }
    (folder / "config.properties").write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
    (folder / "log4j2.xml").write_text(_LOG4J)
    return folder


def _torchserve_model(name: str) -> Mapping[str, object]:
    return {
        "defaultVersion": True,
        "marName": f"{name}.mar",
        "minWorkers": 1,
        "maxWorkers": 1,
        "batchSize": _MAX_BATCH_ROWS,
        "maxBatchDelay": _MAX_WAIT_MS,
        "responseTimeout": 120,
    }


def _write_archive(file: Path, model: str) -> None:
    """What `torch-model-archiver` writes for a handler without weights of PyTorch."""
    handler = "torchserve_handler.py"
    manifest = {"archiverVersion": "0.12.0", "model": {"modelName": model, "modelVersion": "1.0", "handler": handler}}
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps({**manifest, "runtime": "python"}))
        for script in (handler, "onnx_model.py"):
            archive.write(APPS / script, script)


def _write_json(file: Path, content: Mapping[str, object]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=1))
