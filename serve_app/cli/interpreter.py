"""How the running Python was built: it decides what a request costs more than most that can be configured."""

from __future__ import annotations

import sys
import sysconfig

_BY_DISTRIBUTION = "'--prefix=/usr'"  # they optimise theirs, some by other means than configure's option


def is_optimised(configure: str | None) -> bool:
    """Whether an interpreter was compiled with the profile of a run of its own, as far as it tells.

    Args:
        configure: The options of its `configure`; None where that did not make it.
    """
    return configure is None or "--enable-optimizations" in configure or _BY_DISTRIBUTION in configure


def interpreter_fault() -> str:
    """What to know about the running one; empty if there is nothing."""
    if is_optimised(sysconfig.get_config_var("CONFIG_ARGS")):
        return ""
    return (
        f"the Python in {sys.base_prefix} was built without --enable-optimizations, so every request takes longer "
        "(pyenv builds so unless PYTHON_CONFIGURE_OPTS says otherwise)"
    )
