"""What foreign code raised, said so that a client may read it."""

from __future__ import annotations

import re

_REASON_LENGTH = 200
_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][\w.@+-]+){2,}")


def short_reason(error: BaseException) -> str:
    """The error's class and its message's first line, cut to 200 characters, without paths: fit for a client."""
    first = _PATH.sub("<path>", str(error).strip().partition("\n")[0].strip())
    return f"{type(error).__name__}: {first}"[:_REASON_LENGTH] if first else type(error).__name__
