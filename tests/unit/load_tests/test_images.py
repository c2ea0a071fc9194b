"""The model that gives images back, its requests, and its place in configs/prod.yaml."""

from __future__ import annotations

import numpy as np
import onnx
import orjson
import yaml

from load_tests import images
from load_tests.models import ROOT, session
from serve_app.protocol import v2_binary
from serve_app.protocol.call import Call


def test_the_model_gives_images_back_and_their_means(tmp_path):
    onnx.save(images.onnx_model(), tmp_path / "images.onnx")
    given = images.random_images(2)
    same, mean = session(tmp_path / "images.onnx").run([images.SAME, images.MEAN], {images.INPUT: given})
    np.testing.assert_array_equal(same, given)
    np.testing.assert_allclose(mean, given.mean(axis=(1, 2, 3)), rtol=1e-5)


def test_requests_are_what_the_protocol_says():
    given = images.random_images(2, seed=1)
    body, length = images.binary_body(given, images.SAME)
    request, form = v2_binary.decode_mixed(body, length, Call(images.NAME))
    np.testing.assert_array_equal(request.inputs[images.INPUT], given)
    assert (request.outputs, form.is_binary(images.SAME)) == ((images.SAME,), True)
    data = orjson.loads(images.json_body(given, images.MEAN))["inputs"][0]["data"]
    np.testing.assert_array_equal(np.array(data, np.float32), given.ravel())


def test_the_file_has_one_release_more_and_the_first_is_unchanged(tmp_path):
    before = yaml.safe_load((ROOT / "configs/prod.yaml").read_text())
    after = images.config_with_images(before, tmp_path)
    assert after["applications"][-1]["name"] == "images-v1"
    assert after["applications"][0]["deployments"][0]["user_config"]["models"][images.NAME] == {"traffic": {"v1": 100}}
    assert images.NAME not in before["applications"][0]["deployments"][0]["user_config"]["models"]
