import numpy as np
import torch
from support.torch_models import tensors

from serve_app.runtimes.torch_export import infer
from serve_app.samples.data import Split, split
from serve_app.samples.digits_conv import train


def test_the_program_is_trained_and_saved_with_free_rows(tmp_path):
    data = split("digits")
    few = slice(0, 40)  # one step an epoch: enough to learn these few by heart
    part = Split(data.train_inputs[few], data.train_labels[few], data.train_inputs[few], data.train_labels[few], ())
    before = torch.random.get_rng_state()
    train(part, tmp_path / "m.pt2")
    assert torch.equal(before, torch.random.get_rng_state())
    signature = infer(tmp_path / "m.pt2")
    found = [
        {"name": t.name, "datatype": t.datatype, "shape": list(t.shape)}
        for t in (*signature.inputs, *signature.outputs)
    ]
    assert found == tensors("pixels FP32 -1,64", "output0 FP32 -1,10", "output1 INT64 -1")
    module = torch.export.load(tmp_path / "m.pt2").module()
    for rows in (1, 40):
        probabilities, labels = module(torch.from_numpy(part.train_inputs[:rows]))
        assert np.allclose(probabilities.detach().sum(dim=1), 1, atol=1e-5)
    assert np.mean(labels.numpy() == part.train_labels) >= 0.9
