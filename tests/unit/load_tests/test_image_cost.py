"""Figures of the two forms of an image."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from rich.console import Console

from load_tests import images
from load_tests.image_cost import measured, speedup, table, targets
from load_tests.points import ClosedPoint

POINT = ClosedPoint(8, 2.0, 400, 200.0, 1.0, 2.0, 3.0, 0, "python")


def test_both_forms_ask_for_the_same_image():
    json, binary = targets("http://localhost:1").values()
    assert json.url == binary.url == f"http://localhost:1{images.PATH}"
    length = int(dict(binary.headers)[images.BINARY_LENGTH])
    data = orjson.loads(json.bodies[0])["inputs"][0]["data"]
    assert binary.bodies[0][length:] == images.random_images(1).tobytes()
    assert data[:3] == pytest.approx(images.random_images(1).ravel()[:3].tolist())


def test_a_round_is_cost_and_rate_and_no_request_may_fail():
    assert measured(POINT, 0.5) == (1.25, 200.0)
    with pytest.raises(SystemExit, match="1 of 400"):
        measured(replace(POINT, failed=1), 0.5)


def test_ratios_are_of_rounds():
    rounds = {"JSON": [(5.0, 100.0), (6.0, 50.0), (7.0, 90.0)], "binary": [(1.0, 600.0), (1.1, 500.0), (1.2, 450.0)]}
    assert speedup(rounds) == 6.0
    console = Console(width=200, record=True)
    console.print(table("express door", rounds))
    assert "binary │ 1.10           │ 500        │ 6.0" in console.export_text()
