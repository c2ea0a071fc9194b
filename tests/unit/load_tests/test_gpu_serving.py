"""The nets' place behind the gateway of configs/prod.yaml, and what is sent to them, compared and counted."""

from __future__ import annotations

import httpx
import numpy as np
import pytest
import yaml

from load_tests.accounting import Cost
from load_tests.gpu_cost import Load, images, release, repository_at
from load_tests.gpu_serving import check_answers, config_of, measured, target_of
from load_tests.images import BINARY_LENGTH
from load_tests.models import ROOT
from load_tests.points import ClosedPoint
from serve_app.config.release import ReleaseArgs
from serve_app.config.serve_file import check_serve_file
from serve_app.dataflow.model import load_model

SIDE = 16


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    (source,) = repository_at(tmp_path_factory.mktemp("nets"), ["onnx"], (SIDE,)).values()
    return release(source, "cpu", max_rows=4)


def test_of_each_model_the_first_release_has_the_traffic(net, tmp_path):
    production = yaml.safe_load((ROOT / "configs/prod.yaml").read_text())
    second = net.model_copy(update={"version": "v2"})
    config = config_of(production, [net, second], tmp_path / "state.db")
    gateway = config["applications"][0]
    assert gateway["deployments"][0]["user_config"] == {"models": {"onnx16": {"traffic": {"v1": 100, "v2": 0}}}}
    assert [one["name"] for one in config["applications"]] == ["gateway", "onnx16-v1", "onnx16-v2"]
    path = tmp_path / "serve.yaml"
    path.write_text(yaml.safe_dump(config))
    assert check_serve_file(path) == []
    assert [ReleaseArgs.model_validate(one["args"]) for one in config["applications"][1:]] == [net, second]
    assert len(production["applications"]) > 3


def test_bodies_are_images_by_their_bytes_alone(net):
    target = target_of("http://host", net, SIDE, rows=2)
    assert target.url == "http://host/v2/models/onnx16/versions/v1/infer"
    assert dict(target.headers) == {BINARY_LENGTH: "0"}
    first, second = (np.frombuffer(body, "<f4").reshape(2, 3, SIDE, SIDE) for body in target.bodies[:2])
    np.testing.assert_array_equal(first, images(2, SIDE))
    assert (first != second).any()


@pytest.mark.parametrize("error", [0, 0.01])
def test_answers_are_those_of_the_cpu_or_it_says_so(net, monkeypatch, error):
    model = load_model(net)

    def answer(url, content, headers, timeout):
        (logits,) = model.predict({"image": np.frombuffer(content, "<f4").reshape(2, 3, SIDE, SIDE)}).values()
        body = b"{}" + (logits + error).astype("<f4").tobytes()
        return httpx.Response(200, content=body, headers={BINARY_LENGTH: "2"}, request=httpx.Request("POST", url))

    monkeypatch.setattr(httpx, "post", answer)
    target = target_of("http://host", net, SIDE, rows=2)
    if error:
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            check_answers(target, net, SIDE, rows=2)
    else:
        check_answers(target, net, SIDE, rows=2)


def test_rows_are_counted_not_requests(net):
    class Instruments:
        def closed(self, target, connections, seconds):
            return ClosedPoint(connections, seconds, 100, 50.0, 1.0, 2.0, 3.0, 7, "fake")

        def cost_of(self, target, load):
            return load(), Cost(0.8, 0, 0)

    cells = list(measured(Instruments(), target_of("http://host", net, SIDE, rows=4), Load(64, 4), 2))
    assert cells == ["64 x 4", "200", "1.0", "3.0", "2.000", "7"]
