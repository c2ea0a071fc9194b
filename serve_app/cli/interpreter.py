"""How the running Python was built: it decides what a request costs more than most that can be configured."""

from __future__ import annotations

import sys
import sysconfig

_SYSTEM = "/usr"  # distributions optimise theirs by other means than configure's option


def is_optimised(configure: str | None, prefix: str) -> bool:
    """Whether an interpreter was compiled with the profile of a run of its own, as far as it tells.

    Args:
        configure: The options of its `configure`; None or empty where it does not tell.
        prefix: Where it is installed.
    """
    return not configure or "--enable-optimizations" in configure or prefix == _SYSTEM


def interpreter_fault() -> str:
    """What to know about the running one; empty if there is nothing."""
    if is_optimised(sysconfig.get_config_var("CONFIG_ARGS"), sys.base_prefix):
        return ""
    return (
        f"the Python in {sys.base_prefix} was built without --enable-optimizations, which costs a fifth of the speed "
        "(pyenv: PYTHON_CONFIGURE_OPTS='--enable-optimizations --with-lto' pyenv install)"
    )
