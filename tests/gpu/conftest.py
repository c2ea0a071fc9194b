"""Where this machine has a GPU, a library that does not see it fails its tests; only without one are they skipped."""

from __future__ import annotations

import pytest

from serve_app.config.manifest import Format
from serve_app.runtimes.device import choose_device


@pytest.fixture(autouse=True, scope="session")
def gpu() -> None:
    if choose_device("auto", Format.PYTHON) == "cpu":  # asks no library, only whether there is one
        pytest.skip("this machine has no GPU")
