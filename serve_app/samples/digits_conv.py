"""digits v2: a small convolutional network in PyTorch, saved by torch.export."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from serve_app.samples.data import Split

_SIDE, _CLASSES, _LARGEST_PIXEL = 8, 10, 16.0
_EPOCHS, _BATCH_ROWS, _PEAK_RATE = 40, 64, 4e-3


class DigitsNet(nn.Module):
    """Two convolutions, one pooling and a linear layer: about 30,000 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.3),
        )
        self.classify = nn.Linear(64 * 4 * 4, _CLASSES)

    def scores(self, pixels: Tensor) -> Tensor:
        """Unnormalised scores [rows, 10] of `pixels` [rows, 64], values 0..16."""
        images = pixels.reshape(-1, 1, _SIDE, _SIDE) / _LARGEST_PIXEL
        scores: Tensor = self.classify(self.features(images))
        return scores

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities [rows, 10] and labels [rows] of `pixels` [rows, 64], values 0..16."""
        probabilities = torch.softmax(self.scores(pixels), dim=1)
        return probabilities, probabilities.argmax(dim=1)


def train(data: Split, file: Path) -> None:
    """Train on the data set's own pixels and save the exported program to `file`, with a free batch axis."""
    inputs, labels = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_labels)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = DigitsNet()
        _fit(model, inputs, labels)
    axes = {"pixels": {0: torch.export.Dim.DYNAMIC}}
    program = torch.export.export(model.eval(), (inputs[:2],), dynamic_shapes=axes)
    torch.export.save(program, file)


def _fit(model: DigitsNet, inputs: Tensor, labels: Tensor) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-2)
    steps = _EPOCHS * -(-len(inputs) // _BATCH_ROWS)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=_PEAK_RATE, total_steps=steps)
    for _ in range(_EPOCHS):
        order = torch.randperm(len(inputs))
        for start in range(0, len(inputs), _BATCH_ROWS):
            rows = order[start : start + _BATCH_ROWS]
            optimizer.zero_grad()
            cross_entropy(model.scores(inputs[rows]), labels[rows]).backward()  # type: ignore[no-untyped-call]  # untyped
            optimizer.step()
            schedule.step()
