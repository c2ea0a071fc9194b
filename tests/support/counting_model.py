"""An operator's decoupled model: counts, 10 ms a number; it says how many streams have ended, and its process."""

from __future__ import annotations

import os
import time

import numpy as np

NUMBER_S = 0.01


class Count:
    """One response for each number up to the input; of 20 it gives 12 and raises."""

    def __init__(self) -> None:
        self._ended = 0

    def stream(self, inputs):
        upto = inputs["upto"]
        try:
            for number in range(1, int(upto.max()) + 1):
                if number == 13 and upto.max() == 20:
                    raise ValueError("13 brings bad luck")
                time.sleep(NUMBER_S)  # the model's own computing
                yield {
                    "number": np.minimum(upto, number),
                    "ended": np.full_like(upto, self._ended),
                    "pid": np.full_like(upto, os.getpid()),
                }
        finally:
            self._ended += 1
