"""skops without PyTorch, each case in a process that has imported neither."""

from __future__ import annotations

import subprocess
import sys

ESTIMATOR = "__import__('sklearn.svm', fromlist=['SVC']).SVC().fit([[0.0], [1.0]], [0, 1])"


def printed(*statements: str) -> list[str]:
    """The words that a new interpreter prints."""
    script = "\n".join(["import sys", "from serve_app.runtimes.skops_io import skops_io", *statements])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return done.stdout.split()


def test_it_is_imported_without_the_other_array_libraries() -> None:
    seen = printed("io = skops_io()", "print(io.__name__, 'torch' in sys.modules, 'dask' in sys.modules)")
    assert seen == ["skops.io", "False", "False"]


def test_every_estimator_is_known_all_the_same() -> None:
    loaded = f"io = skops_io(); data = io.dumps({ESTIMATOR})"
    assert printed(loaded, "print(io.get_untrusted_types(data=data), *io.loads(data).predict([[0.9]]))") == ["[]", "1"]


def test_the_adapters_can_be_imported_afterwards() -> None:
    name = "sklearn.externals.array_api_compat.torch"
    assert printed("skops_io()", f"import {name} as adapter", "print(adapter.__name__)") == [name]


def test_what_was_imported_before_stays() -> None:
    name = "sklearn.externals.array_api_compat.torch"
    before = f"import {name} as adapter"
    assert printed(before, "skops_io()", f"print(sys.modules[{name!r}] is adapter)") == ["True"]
