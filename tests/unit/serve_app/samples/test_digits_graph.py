import numpy as np
import onnxruntime
from onnx import helper

from serve_app.samples.digits_graph import digits_graph


def test_a_network_between_is_given_pixels_scaled_to_1_and_its_scores_become_shares():
    weights = {"weight": np.eye(64, 10, dtype=np.float32)}  # the first ten pixels are the scores
    model = digits_graph([helper.make_node("MatMul", ["scaled", "weight"], ["scores"])], weights)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    pixels = np.zeros((2, 64), np.float32)
    pixels[0, 3], pixels[1, 7:9] = 16, 8
    probabilities, label = session.run(["probabilities", "label"], {"pixels": pixels})
    assert label.tolist() == [3, 7]  # of equals the first
    np.testing.assert_allclose(probabilities[0, [3, 0]], np.array([np.e, 1]) / (np.e + 9), rtol=1e-6)
    np.testing.assert_allclose(probabilities[1, [7, 8]], np.sqrt(np.e) / (2 * np.sqrt(np.e) + 8), rtol=1e-6)
