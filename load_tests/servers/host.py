"""A host: one program with its targets, taken into use once they answer right."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from load_tests.servers.answers import Offer, fault_of
from load_tests.servers.program import Program, Started, started
from load_tests.target import HostUnavailable, Target

_log = logging.getLogger(__name__)
_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class ProgramHost:
    """Runs a program and offers what of its targets answers right.

    Attributes:
        name: As progress and errors name it.
        prepare: Installs what is missing, writes its files and gives the program; called at every start.
        offers: Its targets.
        ready_s: How long the needed targets may take to answer right.
        optional_s: How much longer the optional ones may take.
    """

    name: str
    prepare: Callable[[], Program]
    offers: Sequence[Offer]
    ready_s: float = 120.0
    optional_s: float = 5.0

    @contextmanager
    def running(self) -> Iterator[tuple[Target, ...]]:
        """Start it, wait until every target answers right, and stop everything of it at the end.

        An optional target that does not answer right is left out, with a line in the log that says why.

        Raises:
            HostUnavailable: It cannot be installed or started here, or a needed target does not answer right.
        """
        with started(self.prepare()) as running:
            faulty = self._wait(running)
            for offer, fault in faulty:
                _log.warning("%s, %s is left out: %s", offer.target.name, offer.target.workload, fault)
            left_out = [offer for offer, _ in faulty]
            pids = running.root_pids()
            yield tuple(replace(offer.target, pids=pids) for offer in self.offers if offer not in left_out)

    def _wait(self, running: Started) -> list[tuple[Offer, str]]:
        """Wait for the needed targets, then a little for the rest; returns the rest that is still faulty, and why."""
        needed = [offer for offer in self.offers if not offer.is_optional]
        if faulty := _still_faulty(needed, running, self.ready_s):
            offer, fault = faulty[0]
            raise HostUnavailable(
                f"{offer.target.name}, {offer.target.workload} does not answer right: {fault}\n"
                f"{running.log} ends with\n{running.log_tail()}"
            )
        return _still_faulty([offer for offer in self.offers if offer.is_optional], running, self.optional_s)


def _still_faulty(offers: Sequence[Offer], running: Started, limit_s: float) -> list[tuple[Offer, str]]:
    """The offers that did not answer right within the limit, or before the program ended, each with its last fault."""
    deadline = time.perf_counter() + limit_s
    faulty = [(offer, "") for offer in offers]
    while True:
        is_last = not running.is_alive or time.perf_counter() >= deadline
        faulty = [(offer, fault) for offer, _ in faulty if (fault := fault_of(offer))]
        if is_last or not faulty:
            return faulty
        time.sleep(_POLL_S)
