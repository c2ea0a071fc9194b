"""A model of [n, 3, 224, 224] FP32 images that gives them back, and configs/prod.yaml with a release of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import orjson
import psutil
import yaml
from onnx import TensorProto, helper

from load_tests.models import BENCH, ROOT
from load_tests.servers.ray_yaml import release_application
from load_tests.soak.production import Production, serving
from serve_app.dataflow.add import NewVersion, add_version
from serve_app.types import Array

NAME, VERSION = "images", "v1"
INPUT, SAME, MEAN = "image", "same", "mean"
SHAPE = (3, 224, 224)
PATH = f"/v2/models/{NAME}/infer"
BINARY_LENGTH = "Inference-Header-Content-Length"
GATEWAY_TITLE = "ray::ServeReplica:gateway:Gateway"


@dataclass(frozen=True, slots=True)
class Images:
    """A server of the images and of the samples.

    Attributes:
        express_url: Of the gateway's express door.
        grpc_address: Of the gRPC port.
    """

    production: Production
    express_url: str
    grpc_address: str

    @property
    def url(self) -> str:
        """Of the Serve proxy."""
        return self.production.url

    def gateway_pids(self) -> tuple[int, ...]:
        """The gateway's replicas on this machine."""
        found = psutil.process_iter(["cmdline"])
        return tuple(one.pid for one in found if " ".join(one.info["cmdline"] or ()).startswith(GATEWAY_TITLE))


def onnx_model() -> onnx.ModelProto:
    """`same` is the input, `mean` that of each image."""
    image = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", *SHAPE])
    same = helper.make_tensor_value_info(SAME, TensorProto.FLOAT, ["n", *SHAPE])
    mean = helper.make_tensor_value_info(MEAN, TensorProto.FLOAT, ["n"])
    axes = helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3])
    nodes = [
        helper.make_node("Identity", [INPUT], [SAME]),
        helper.make_node("ReduceMean", [INPUT, "axes"], [MEAN], keepdims=0),
    ]
    graph = helper.make_graph(nodes, NAME, [image], [same, mean], [axes])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def binary_body(images: Array, output: str) -> tuple[bytes, int]:
    """A V2 request for one output with binary tensors both ways, and the length of its JSON."""
    tensor = {"name": INPUT, "datatype": "FP32", "shape": images.shape}
    head = orjson.dumps(
        {
            "inputs": [{**tensor, "parameters": {"binary_data_size": images.nbytes}}],
            "outputs": [{"name": output, "parameters": {"binary_data": True}}],
        }
    )
    return head + images.astype("<f4").tobytes(), len(head)


def json_body(images: Array, output: str) -> bytes:
    """The same request as JSON alone."""
    tensor = {"name": INPUT, "datatype": "FP32", "shape": images.shape, "data": images.ravel()}
    document = {"inputs": [tensor], "outputs": [{"name": output}]}
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def random_images(rows: int, seed: int = 0) -> Array:
    """Pixels in [0, 1)."""
    return np.random.default_rng(seed).random((rows, *SHAPE), np.float32)


def config_with_images(config: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """The content of configs/prod.yaml with the images' release and its traffic."""
    changed = copy.deepcopy(dict(config))
    gateway = changed["applications"][0]
    gateway["deployments"][0]["user_config"]["models"][NAME] = {"traffic": {VERSION: 100}}
    args = {"model": NAME, "version": VERSION, "source": str(source), "slo_ms": 20000}
    changed["applications"].append(release_application(args))
    return changed


@contextmanager
def serving_images(folder: Path = BENCH) -> Iterator[Images]:
    """Serve configs/prod.yaml and the images until the end; what is made for it is in `folder`.

    Raises:
        HostUnavailable: It does not get ready.
    """
    source = folder / "models" / NAME / VERSION
    if not source.is_dir():
        artifact = folder / "images.onnx"
        artifact.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(onnx_model(), artifact)
        add_version(folder / "models", NewVersion(artifact, NAME, VERSION, description="Gives images back"))
    config = config_with_images(yaml.safe_load((ROOT / "configs/prod.yaml").read_text()), source)
    path = folder / "images.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    with serving(path) as production:
        express, grpc = config["applications"][0]["args"]["express"], config["grpc_options"]
        yield Images(production, f"http://127.0.0.1:{express['port']}", f"127.0.0.1:{grpc['port']}")
