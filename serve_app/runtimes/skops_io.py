"""`skops.io` without what it imports for nothing: PyTorch, half of the seconds that a scikit-learn model takes to load.

To know which types may be built, skops asks scikit-learn for all of its estimators, which imports every package below
it on the way: also the adapters of `array_api_compat` to other array libraries, and with them those libraries.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_ADAPTERS = "sklearn.externals.array_api_compat"
_OTHERS = tuple(f"{_ADAPTERS}.{library}" for library in ("cupy", "dask", "torch"))


def skops_io() -> ModuleType:
    """The module `skops.io`; the first time, imported as if the other array libraries were not there."""
    if "skops.io" in sys.modules:
        return sys.modules["skops.io"]
    with _missing(*_OTHERS):
        return importlib.import_module("skops.io")


@contextmanager
def _missing(*names: str) -> Iterator[None]:
    """Have an import of these modules fail, unless they have been imported before."""
    missing = [name for name in names if name not in sys.modules]
    for name in missing:
        sys.modules[name] = None  # type: ignore[assignment]  # as the import system has it
    try:
        yield
    finally:
        for name in missing:
            sys.modules.pop(name, None)
