from __future__ import annotations

import json
import zipfile

from load_tests.servers.peer_files import write_mlserver_folder, write_torchserve_folder


def test_mlserver_finds_each_model_with_its_batching(workloads, tmp_path):
    folder = write_mlserver_folder(workloads, [1, 2, 3], tmp_path)
    assert json.loads((folder / "settings.json").read_text())["http_port"] == 1
    assert json.loads((folder / "cnn/model-settings.json").read_text()) == {
        "name": "cnn",
        "implementation": "mlserver_app.Onnx",
        "max_batch_size": 32,
        "max_batch_time": 0.002,
    }


def test_torchserve_finds_an_archive_for_each_model(workloads, tmp_path):
    folder = write_torchserve_folder(workloads, [1, 2, 3, 4, 5], tmp_path)
    properties = dict(line.split("=", 1) for line in (folder / "config.properties").read_text().splitlines())
    assert properties["inference_address"] == "http://127.0.0.1:1"
    batching = json.loads(properties["models"])["digits"]["1.0"]
    assert (batching["batchSize"], batching["maxBatchDelay"]) == (32, 2)
    with zipfile.ZipFile(folder / "store" / batching["marName"]) as archive:
        assert set(archive.namelist()) == {"MAR-INF/MANIFEST.json", "torchserve_handler.py", "onnx_model.py"}
        assert json.loads(archive.read("MAR-INF/MANIFEST.json"))["model"]["modelName"] == "digits"
