"""A virtual environment for each peer, made at its first use and kept."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from load_tests.models import BENCH
from load_tests.target import HostUnavailable

_STAMP = ".installed"  # written last, so that a half-made environment is made anew
_INSTALL_LIMIT_S = 1800.0


@dataclass(frozen=True, slots=True)
class Venv:
    """What is installed where.

    Attributes:
        name: Of its directory below `build/bench/venvs`.
        requirements: As pip takes them.
        python: The interpreter it is made with.
        root: Directory of all environments.
        logs: Where pip's output goes.
    """

    name: str
    requirements: Sequence[str]
    python: str = sys.executable
    root: Path = BENCH / "venvs"
    logs: Path = BENCH / "logs"

    def ready(self) -> Path:
        """Its `bin`, after everything was installed that is missing.

        Raises:
            HostUnavailable: pip failed; the message names its log.
        """
        home = self.root / self.name
        wanted = "\n".join([self.python, *self.requirements])
        stamp = home / _STAMP
        if not stamp.is_file() or stamp.read_text() != wanted:
            shutil.rmtree(home, ignore_errors=True)
            self._install(home)
            stamp.write_text(wanted)
        return home / "bin"

    def _install(self, home: Path) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        path = self.logs / f"{self.name}-install.log"
        commands = (
            [self.python, "-m", "venv", str(home)],
            [str(home / "bin/python"), "-m", "pip", "install", "--disable-pip-version-check", *self.requirements],
        )
        with path.open("wb") as log:
            for command in commands:
                try:
                    subprocess.run(command, stdout=log, stderr=log, check=True, timeout=_INSTALL_LIMIT_S)  # noqa: S603
                except (OSError, subprocess.SubprocessError) as error:
                    raise HostUnavailable(f"{self.name} cannot be installed ({error}); see {path}") from None
