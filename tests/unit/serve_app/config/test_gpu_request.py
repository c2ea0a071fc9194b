"""How much of a GPU a replica asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from serve_app.config.gpu_request import SHARED_GPU, gpus_of, smallest_mib
from serve_app.config.release import ReleaseArgs
from serve_app.dataflow.own_nodes import node_args
from serve_app.errors import AcceleratorMissing, ConfigError


def asked(gpus: float, total: int = 24000, can_use: bool = True, **changes) -> float:
    args = {"model": "m", "version": "v1", "source": "s", **changes}
    return gpus_of(ReleaseArgs.model_validate(args), gpus, lambda: total, lambda: can_use)


@pytest.mark.parametrize(
    ("gpus", "changes", "share"),
    [
        (0, {}, 0),
        (2, {}, SHARED_GPU),
        (2, {"accelerator": "gpu"}, 1),
        (2, {"accelerator": "cpu"}, 0),
        (2, {"gpu_memory_mib": 6000}, 0.25),
        (2, {"gpu_memory_mib": 6001}, 0.26),
        (0, {"gpu_memory_mib": 6001}, 0),
        (2, {"accelerator": "gpu", "gpu_memory_mib": 24000}, 1),
    ],
)
def test_a_share_goes_by_the_memory_that_is_needed(gpus, changes, share):
    assert asked(gpus, **changes) == share


def test_a_model_that_runs_on_cpus_only_takes_no_share_unless_the_release_says_so():
    assert asked(2, can_use=False) == 0
    assert asked(2, can_use=False, gpu_memory_mib=6000) == 0.25
    assert asked(2, can_use=False, accelerator="gpu") == 1


def test_one_gpu_has_room_for_the_sample_releases_their_second_replicas_and_a_new_version_of_each():
    config = yaml.safe_load((Path(__file__).parents[4] / "configs/prod.yaml").read_text())
    releases = [one for one in config["applications"] if one["name"] != "gateway" and one["name"] != "wine-v1"]
    scaled = [one["deployments"][0]["autoscaling_config"] for one in releases if "deployments" in one]
    more = sum(one["max_replicas"] - one["min_replicas"] for one in scaled)
    assert (len(releases), more) == (4, 2)
    assert (2 * len(releases) + more) * SHARED_GPU <= 1


def test_what_the_cluster_does_not_have_is_refused():
    with pytest.raises(AcceleratorMissing, match="m-v1"):
        asked(0, accelerator="gpu")
    with pytest.raises(ConfigError, match="m-v1: gpu_memory_mib 24001 is over a GPU's 24000"):
        asked(1, gpu_memory_mib=24001)
    with pytest.raises(ValueError, match="gpu_memory_mib has no effect on accelerator: cpu"):
        asked(1, accelerator="cpu", gpu_memory_mib=5)


def test_a_head_without_models_of_its_own_asks_for_none_and_its_node_for_what_it_says():
    node = {"kind": "model", "name": "a", "source": "s", "gpu_memory_mib": 12000}
    x = {"name": "x", "datatype": "FP32", "shape": [-1]}
    graph = {"inputs": [x], "nodes": [node], "outputs": {"y": "a.y"}}
    args = ReleaseArgs.model_validate({"model": "m", "version": "v1", "graph": graph})
    assert gpus_of(args, 1, lambda: 24000, lambda: True) == 0
    assert gpus_of(node_args(args, args.graph.own[0]), 1, lambda: 24000, lambda: True) == 0.5


def test_the_smallest_gpu_counts():
    assert smallest_mib("81559\n24564\n81559\n") == 24564


@pytest.mark.parametrize(
    ("node", "release", "says"),
    [
        ({"accelerator": "cpu", "gpu_memory_mib": 5}, {}, "gpu_memory_mib has no effect on accelerator: cpu"),
        ({"gpu_memory_mib": 5}, {"accelerator": "cpu"}, "gpu_memory_mib of node 'a' has no effect"),
        ({"placement": "own"}, {"gpu_memory_mib": 5}, "no node in the graph's own process could use a GPU"),
    ],
)
def test_memory_of_a_gpu_that_nobody_can_use_is_a_fault(node, release, says):
    x = {"name": "x", "datatype": "FP32", "shape": [-1]}
    graph = {"inputs": [x], "nodes": [{"kind": "model", "name": "a", "source": "s", **node}], "outputs": {"y": "a.y"}}
    with pytest.raises(ValueError, match=says):
        ReleaseArgs.model_validate({"model": "m", "version": "v1", "graph": graph, **release})
