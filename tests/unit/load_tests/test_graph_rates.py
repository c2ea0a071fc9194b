"""The chains that are served: the same nodes, placed otherwise."""

from __future__ import annotations

import json

import yaml

from load_tests.graph_cost import CHAIN, chain
from load_tests.graph_rates import FUSED, MODELS, SPREAD, body_of, config_with_chains, ratio, table, targets
from load_tests.models import ROOT
from load_tests.points import ClosedPoint
from serve_app.config.release import ReleaseArgs

PROD = yaml.safe_load((ROOT / "configs/prod.yaml").read_text())


def test_both_chains_are_the_measured_one_but_for_the_placement():
    fused, spread = (ReleaseArgs.model_validate(one["args"]) for one in config_with_chains(PROD)["applications"][-2:])
    assert [fused.release, spread.release] == [f"{FUSED}-v1", f"{SPREAD}-v1"]
    assert (len(fused.graph.own), len(spread.graph.own)) == (0, CHAIN + 1)
    unplaced = [
        [{**node.model_dump(exclude={"placement"})} for node in args.graph.nodes] for args in (fused, spread, chain())
    ]
    assert unplaced[0] == unplaced[1] == unplaced[2]


def test_every_node_of_the_spread_one_has_its_options_and_the_file_its_traffic():
    config = config_with_chains(PROD)
    assert len(config["applications"][-1]["deployments"]) == CHAIN + 2
    models = config["applications"][0]["deployments"][0]["user_config"]["models"]
    assert models[FUSED] == models[SPREAD] == {"traffic": {"v1": 100}}
    assert FUSED not in PROD["applications"][0]["deployments"][0]["user_config"]["models"]


def test_requests_are_v2_and_go_to_each_model():
    (tensor,) = json.loads(body_of([0.5, 2.0]))["inputs"]
    assert tensor["data"] == [0.5, 2]
    found = targets("http://h:1")
    assert found.keys() == {*MODELS}
    assert found[FUSED].url == f"http://h:1/v2/models/{FUSED}/infer"


def test_ratios_are_of_rounds():
    def points(*rates):
        return [ClosedPoint(64, 1.0, 1, rate, 1.0, 1.0, 1.0, 0, "python") for rate in rates]

    rounds = {model: points(100, 300, 200) for model in MODELS} | {FUSED: points(50, 30, 200)}
    assert ratio(rounds, FUSED, MODELS[0]) == 0.5
    assert table(rounds, rounds, 64).row_count == len(MODELS)
