"""One client of a soak: sends probes on a keep-alive connection, leaves when it should, and judges the answers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field

from load_tests.http_wire import Answer, address, parse_answer, post
from load_tests.soak.mix import REFUSED, Kind, Mix, Probe
from load_tests.soak.oracle import Oracle

HANG_S = 30.0
_READ_BYTES = 2**16
_EXAMPLES = 20
_RECONNECT_S = 0.1  # a server that is gone is not asked a million times


@dataclass(slots=True)
class Tally:
    """What became of the probes of one kind.

    Attributes:
        sent: Probes that were begun.
        right: Answered as they should be.
        refused: Answered with 429, 503 or 504 where that is allowed if it is rare.
        left: Abandoned, as they should be.
        latencies_ms: Of all answers.
    """

    sent: int = 0
    right: int = 0
    refused: int = 0
    left: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Ledger:
    """What all clients of a soak saw.

    Attributes:
        tallies: By kind of probe.
        violations: How often each sentence was true; the first few of each kind of fault name the request.
    """

    tallies: dict[Kind, Tally] = field(default_factory=lambda: defaultdict(Tally))
    violations: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def violate(self, what: str, example: str) -> None:
        """Note what must not happen."""
        self.violations[what] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{what}: {example}")

    def refused_share(self) -> float:
        """Of the probes that must be answered, those that were refused."""
        tallies = [tally for kind, tally in self.tallies.items() if kind in (Kind.ORDINARY, Kind.PRIORITY)]
        sent = sum(tally.sent for tally in tallies)
        return sum(tally.refused for tally in tallies) / sent if sent else 0.0


class Client:
    """Sends one probe after the other.

    Args:
        base: URL of the server.
        oracle: Knows the right answers.
        ledger: Where it writes what it saw.
        hang_s: How long an answer may take before the request counts as left hanging.
    """

    def __init__(self, base: str, oracle: Oracle, ledger: Ledger, hang_s: float = HANG_S) -> None:
        self._base, self._oracle, self._ledger, self._hang_s = base, oracle, ledger, hang_s
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, mix: Mix, until: float) -> None:
        """Send probes until `time.perf_counter()` says so."""
        try:
            while time.perf_counter() < until:
                await self.send(mix.next())
        finally:
            await self.close()

    async def send(self, probe: Probe) -> None:
        """Send one probe and account for it."""
        tally = self._ledger.tallies[probe.kind]
        tally.sent += 1
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._hang_s):
                answer = await self._exchange(probe)
        except TimeoutError:
            self._ledger.violate("no answer", f"{probe.kind}, {probe.path}, within {self._hang_s:g} s")
            await self.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            self._ledger.violate("connection broken", f"{probe.kind}, {probe.path}: {error!r}")
            await self.close()
            await asyncio.sleep(_RECONNECT_S)
        else:
            if answer is None:
                tally.left += 1
            else:
                tally.latencies_ms.append(1000 * (time.perf_counter() - started))
                self._judge(probe, answer, tally)
            if answer is None or not answer.keeps_alive:
                await self.close()

    async def close(self) -> None:
        """Close the connection; the next probe opens another."""
        if self._stream is not None:
            writer, self._stream = self._stream[1], None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _exchange(self, probe: Probe) -> Answer | None:
        """The answer, or None if the client left before it."""
        if self._stream is None:
            self._stream = await asyncio.open_connection(*address(self._base))
        reader, writer = self._stream
        request = post(self._base + probe.path, probe.body, headers=probe.headers)
        writer.write(request[: -(len(probe.body) // 2)] if probe.is_half_sent else request)
        await writer.drain()
        if probe.is_half_sent:
            return None
        if probe.leaves_after_s is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(probe.leaves_after_s):
                    return await _answer(reader)
            return None
        return await _answer(reader)

    def _judge(self, probe: Probe, answer: Answer, tally: Tally) -> None:
        tally.statuses[answer.status] += 1
        if answer.status in probe.statuses:
            fault = ""
            if answer.status == 200:
                fault = self._oracle.fault(answer.body, probe.model, probe.version, probe.rows)
            if fault:
                self._ledger.violate("wrong answer", f"{probe.kind}, {probe.path}, {len(probe.rows)} rows: {fault}")
            else:
                tally.right += 1
        elif probe.may_be_refused and answer.status in REFUSED:
            tally.refused += 1
        else:
            said = answer.body[:200].decode(errors="replace")
            self._ledger.violate("wrong status", f"{probe.kind}, {probe.path}: {answer.status} {said}")


async def _answer(reader: asyncio.StreamReader) -> Answer:
    data = bytearray()
    while (answer := parse_answer(bytes(data))) is None:
        part = await reader.read(_READ_BYTES)
        if not part:
            raise asyncio.IncompleteReadError(bytes(data[:100]), None)
        data += part
    return answer
