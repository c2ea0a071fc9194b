"""An operator's model that takes its process along at a negative number, and tells the world before it does."""

from __future__ import annotations

import os
from pathlib import Path

DEATHS, GATE = "deaths.txt", "gate"


class Deadly:
    """y = 2 x. The first death waits until somebody opens the gate, a named pipe, so that others share its fate."""

    def setup(self, directory: Path, device: str) -> None:
        self._directory = directory

    def predict(self, inputs):
        x = inputs["x"]
        if (x < 0).any():
            with (self._directory / DEATHS).open("a") as file:
                file.write(f"{os.getpid()}\n")
            if (self._directory / GATE).exists():
                (self._directory / GATE).read_text()
            os._exit(13)
        return {"y": 2 * x}
