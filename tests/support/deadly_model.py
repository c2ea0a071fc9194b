"""An operator's model that takes its process along at a negative number, and tells the world before it does."""

from __future__ import annotations

import os
import time
from pathlib import Path

DEATHS = "deaths.txt"


class Deadly:
    """y = 2 x."""

    def setup(self, directory: Path, device: str) -> None:
        self._deaths = directory / DEATHS

    def predict(self, inputs):
        x = inputs["x"]
        if (x < 0).any():
            time.sleep(0.3)  # its own computing, in which others come that share its fate
            with self._deaths.open("a") as file:
                file.write(f"{os.getpid()}\n")
            os._exit(13)
        return {"y": 2 * x}
