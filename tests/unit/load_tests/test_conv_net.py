from __future__ import annotations

import numpy as np
import onnxruntime as ort
import torch
from torch import nn

from load_tests.conv_net import conv_net, export


def multiplications(net: nn.Module) -> int:
    """Of one image, in convolutions and linear layers."""
    counted: list[int] = []

    def count(module, inputs, output):
        counted.append(output.numel() * module.weight[0].numel())

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    net(torch.zeros(1, 3, 64, 64))
    return sum(counted)


def test_an_image_costs_about_53_mflop():
    assert 52.5e6 < 2 * multiplications(conv_net()) < 54e6


def test_its_weights_are_the_same_every_time_and_leave_the_random_state_alone():
    before = torch.random.get_rng_state()
    first, second = conv_net().state_dict(), conv_net().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_exported_file_answers_like_the_network_for_any_number_of_rows(tmp_path):
    export(tmp_path / "net.onnx")
    session = ort.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    images = np.random.default_rng(1).normal(size=(3, 3, 64, 64)).astype(np.float32)
    (logits,) = session.run(["logits"], {"image": images})
    with torch.no_grad():
        assert np.allclose(logits, conv_net()(torch.from_numpy(images)).numpy(), atol=1e-4)
    assert session.run(["logits"], {"image": images[:1]})[0].shape == (1, 10)
