import numpy as np
import onnxruntime

from serve_app.samples.data import split
from serve_app.samples.digits_mlp import train


def test_the_graph_takes_pixels_as_they_are_and_tells_digits(tmp_path):
    data = split("digits")
    train(data, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    probabilities, label = session.run(["probabilities", "label"], {"pixels": data.held_out_inputs})
    assert probabilities.shape == (450, 10)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.mean(label == data.held_out_labels) >= 0.95
