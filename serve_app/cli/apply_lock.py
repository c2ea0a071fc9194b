"""The right to apply a file, held while a command runs; one that dies loses it after some seconds."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from serve_app.cli.output import CommandError
from serve_app.cli.releases import Clock, LockAnswer, Outage, Releases, actor
from serve_app.release.commands import Lock, Unlock

HELD_S = 20.0
RENEWAL_S = 5.0
_POLL_S = 1.0


class ApplyLock:
    """The lock of one run.

    Attributes:
        owner: Unique to this run.
    """

    def __init__(self, releases: Releases) -> None:
        self._releases = releases
        self._lost = ""
        self.owner = f"{actor()}:{os.getpid()}:{secrets.token_hex(4)}"

    def acquire(self, clock: Clock, say: Callable[[str], None]) -> None:
        """Get the lock; one whose owner no longer renews it is waited for.

        Raises:
            CommandError: Somebody else has it and renews it.
        """
        held = Outage(clock).repeated(self._ask)
        if not held.acquired:
            say(f"{_said(held)}; if that run is dead, this one begins then")
        while not held.acquired:
            before = held
            clock.sleep(_POLL_S)
            held = self._ask()
            if not held.acquired and (held.owner != before.owner or held.expires_in_s >= before.expires_in_s):
                raise CommandError(f"{_said(held)} and renews it; one file is applied at a time")

    def renew(self) -> None:
        """Keep the lock; a controller that is away for a moment does not end the run."""
        with suppress(CommandError):
            held = self._ask()
            self._lost = "" if held.acquired else held.owner

    def check(self) -> None:
        """Make sure that it is still ours.

        Raises:
            CommandError: Somebody else has it now.
        """
        if self._lost:
            raise CommandError(f"{self._lost} applies a file now, because this run could not renew its lock in time")

    def release(self) -> None:
        """Give it back; where that fails, it expires."""
        with suppress(CommandError):
            self._releases.send(Unlock(owner=self.owner))

    def _ask(self) -> LockAnswer:
        return self._releases.lock(Lock(owner=self.owner, for_s=HELD_S))


@contextmanager
def held(lock: ApplyLock, clock: Clock, say: Callable[[str], None], renewal_s: float = RENEWAL_S) -> Iterator[None]:
    """Hold the lock for as long as the block lasts, renewed in a thread.

    Raises:
        CommandError: Somebody else has it.
    """
    lock.acquire(clock, say)
    over = threading.Event()

    def renew() -> None:
        while not over.wait(renewal_s):
            lock.renew()

    thread = threading.Thread(target=renew, name="apply-lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        lock.release()


def _said(held: LockAnswer) -> str:
    return f"{held.owner} has the right to apply a file for {held.expires_in_s:.0f} s"
