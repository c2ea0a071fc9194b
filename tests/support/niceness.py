"""How far this machine lets a process go before others."""

from __future__ import annotations

import subprocess
import sys


def may_rise(by: int) -> bool:
    """Whether a process may lower its niceness by so much."""
    code = f"import os; os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) - {by})"
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0  # noqa: S603 - ours
