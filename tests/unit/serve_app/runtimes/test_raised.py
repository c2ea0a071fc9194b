"""What a client may read of foreign errors."""

from __future__ import annotations

import pytest

from serve_app.runtimes.raised import short_reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no"), "ValueError: no"),
        (ValueError(), "ValueError"),
        (OSError("cannot open /home/me/secret/model.bin\nsecond line"), "OSError: cannot open <path>"),
        (RuntimeError("x" * 500), f"RuntimeError: {'x' * 186}"),
    ],
)
def test_it_is_one_short_line_without_paths(error, reason):
    assert short_reason(error) == reason
