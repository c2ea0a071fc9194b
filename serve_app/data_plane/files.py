"""Names of what a process leaves in shared memory for others of its machine: files of tensors, and sockets."""

from __future__ import annotations

from pathlib import Path

DIRECTORY = Path("/dev/shm")  # noqa: S108 - what is there has mode 0600 and a name that nobody else chooses
PREFIX = "serve-app-"  # then the process's pid, a hyphen, and what is its own


def name_of(pid: int, own: object) -> str:
    """The name of a file that belongs to a process; `own` tells it from the process's others."""
    return f"{PREFIX}{pid}-{own}"


def sweep(directory: Path = DIRECTORY) -> None:
    """Remove what processes left that ended without doing so, as those that are killed."""
    for file in directory.glob(f"{PREFIX}*") if directory.is_dir() else ():
        pid = file.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not _is_alive(int(pid)):
            file.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended is there until its parent has asked how."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")
