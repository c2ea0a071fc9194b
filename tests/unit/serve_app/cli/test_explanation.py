"""An answer's explanation for people."""

from __future__ import annotations

import json

import pytest

from serve_app.cli.explanation import explained, say_explanation
from serve_app.cli.output import CommandError

TIMES = {"begin_ms": 0.0, "ms": 2.0, "critical_ms": 1.5, "queue_ms": 0.0, "compute_ms": 2.0}
MLP = {"node": "mlp", "kind": "model", "version": "models/digits/v1", "device": "cpu", "placement": "fused"}
TOLD = {
    "release": "digits-v1",
    "queue_ms": 0.5,
    "batch_ms": 0.1,
    "compute_ms": 4.0,
    "batch_rows": 8,
    "nodes": [
        {**MLP, "rows": 2, "batch_rows": 8, "cached": 1, **TIMES},
        {"node": "outer", "placement": "fused", "rows": 2, "batch_rows": 8, "chosen": {"mlp": 1, "inner": 1}, **TIMES},
        {"node": "inner", "placement": "fused", "inside": "outer", "rows": 1, "batch_rows": 1, **TIMES},
        {
            **{"node": "far", "placement": "remote", "device": "remote", "inside": "inner", "error": "ModelRaised"},
            **{"rows": 1, "batch_rows": 1, "begin_ms": 2.0, "ms": 1.0, "critical_ms": 1.0, "queue_ms": 0.0},
        },
    ],
}


def test_a_request_asks_beside_its_own_parameters():
    assert explained({"inputs": []}) == {"inputs": [], "parameters": {"explain": True}}
    assert explained({"parameters": {"priority": 1}}) == {"parameters": {"priority": 1, "explain": True}}


def test_nodes_are_rows_under_the_routers_that_executed_them(capsys):
    say_explanation(json.dumps(TOLD))
    *table, last = capsys.readouterr().out.splitlines()
    assert last == "digits-v1: queue 0.500 ms, batch 0.100 ms, compute 4.000 ms of a batch of 8 rows"
    cells = [[cell.rstrip() for cell in line.split("\u2502")[1:-1]] for line in table if line.startswith("\u2502")]
    assert [row[0] for row in cells] == [" mlp", " outer", "   inner", "     far"]
    mlp, outer, _, far = [[cell.strip() for cell in row] for row in cells]
    assert mlp == [
        *("mlp", "models/digits/v1", "fused, cpu", "2", "8"),
        *("0.000", "2.000", "1.500", "0.000", "2.000", "1 remembered"),
    ]
    assert (outer[-1], far[2], far[-2], far[-1]) == ("1 to mlp, 1 to inner", "remote", "", "ModelRaised")


@pytest.mark.parametrize("text", ["", "[]", '{"release": "a"}'])
def test_what_is_no_explanation_is_a_sentence(text):
    with pytest.raises(CommandError, match="has no explanation"):
        say_explanation(text)
