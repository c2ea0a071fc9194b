"""`python -m load_tests.heavy`: big, slow and malicious requests, and what other clients notice of them.

While a steady open loop of one-row requests to digits runs, one client sends a heavy request every second. Quiet runs
before and after each give the ratio of the steady clients' 99th percentiles. The heavy client has the lowest priority,
so that its own work does not take cores from the server, as it would not on another machine. A request that must be
served is checked bit by bit; one that must not be is refused with a status below 500.
"""

from __future__ import annotations

import os
import socket
import statistics
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated
from urllib.parse import urlsplit

import httpx
import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from tritonclient import grpc as triton

from deployments.memory import keep_freed_pages
from load_tests import generators, images
from load_tests.arrivals import Phase
from load_tests.http_wire import parse_answer
from load_tests.load_command import digits_target
from load_tests.open_loop import OpenLoad
from load_tests.target import Target

ROWS_20_MB, ROWS_64_MB = 34, 111  # of 602,112 bytes; 64 MiB with what is around them
BOMB_BYTES = 10 * 2**30
CHUNKS, DEPTH = 100_000, 10_000
PATIENCE_S = 60.0
EVERY_S = 1.0
MAX_RATIO = 2.0
LAST = 19  # niceness

_INFER = "/v2/models/digits/infer"
_PIECE = 64 * 2**20
_RIGHT = "200, right"

Attack = Callable[[threading.Event], str]
"""Sends one heavy request and tells what became of it; it may last until the event is set."""


@dataclass(slots=True)
class Findings:
    """About one heavy request.

    Attributes:
        outcomes: What became of those sent.
        p99_ms: Of the steady clients meanwhile, one for each round.
        ratios: To the quiet runs around.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    p99_ms: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """The rounds' median."""
        return statistics.median(self.ratios)

    @property
    def is_wrong(self) -> bool:
        """Whether a steady client noticed too much, or a request was neither served right nor refused."""
        return self.ratio >= MAX_RATIO or not all(one == _RIGHT or one.startswith("4") for one in self.outcomes)


def gzip_bomb(size: int) -> Iterator[bytes]:
    """The parts of a gzip stream of at least so many zero bytes: one compressed piece that may be repeated."""
    pieces = -(-size // _PIECE)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    first = packer.compress(bytes(_PIECE)) + packer.flush(zlib.Z_FULL_FLUSH)
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = raw.compress(bytes(_PIECE)) + raw.flush(zlib.Z_FULL_FLUSH)
    yield first
    for _ in range(pieces - 1):
        yield piece
    yield b"\x03\x00"  # the last block, empty; the check sum of what nobody unpacks is left out


def chunked(body: bytes, count: int) -> bytes:
    """A chunked body of so many chunks: spaces of one byte, then the JSON."""
    return b"1\r\n \r\n" * (count - 1) + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def deep_json(depth: int) -> bytes:
    """An infer request whose data is nested so deep."""
    nested = b"[" * depth + b"0" + b"]" * depth
    return b'{"inputs":[{"name":"pixels","datatype":"FP32","shape":[1,64],"data":%s}]}' % nested


def exchange(url: str, head: Sequence[str], parts: Iterator[bytes]) -> str:
    """Send a POST to infer in parts until there is an answer, and give its status."""
    where = urlsplit(url)
    lines = [f"POST {_INFER} HTTP/1.1", f"host: {where.netloc}", "content-type: application/json", *head, "", ""]
    with socket.create_connection((where.hostname, where.port), PATIENCE_S) as connection:
        try:
            connection.sendall("\r\n".join(lines).encode())
            for part in parts:
                connection.sendall(part)
        except OSError:
            pass  # refused before it was all sent; the answer is there to be read
        answer = b""
        try:
            while parse_answer(answer) is None and (more := connection.recv(65536)):
                answer += more
        except TimeoutError:
            return "no answer in time"
        except OSError:
            pass
    whole = parse_answer(answer)
    return str(whole.status) if whole else "closed without an answer"


def attacks(server: images.Images, url: str) -> Mapping[str, Attack]:
    """All heavy requests, by what they are."""
    bomb, one_row = b"".join(gzip_bomb(BOMB_BYTES)), b'{"inputs":[{"name":"pixels","datatype":"FP32","shape":[1,64],'
    one_row += b'"data":[' + b",".join([b"0"] * 64) + b"]}]}"
    many, deep = chunked(one_row, CHUNKS), deep_json(DEPTH)
    bodies = {rows: images.binary_body(images.random_images(rows), images.SAME) for rows in (ROWS_20_MB, ROWS_64_MB)}

    def whole(head: tuple[str, ...], body: bytes, _: threading.Event) -> str:
        """All of it at once."""
        return exchange(url, head, iter((body,)))

    def slowly(end: threading.Event) -> str:
        """A byte a second, until the server has had enough or the run ends."""
        parts = (one_row[at : at + 1] for at in range(len(one_row)) if not end.wait(1.0))
        head = f"content-length: {len(one_row)}"
        return exchange(url, (head,), parts) if not end.is_set() else "408"

    def rest(rows: int, _: threading.Event) -> str:
        """A tensor there and back."""
        body, length = bodies[rows]
        headers = {images.BINARY_LENGTH: str(length)}
        answer = httpx.post(url + images.PATH, content=body, headers=headers, timeout=PATIENCE_S)
        is_same = answer.content.endswith(body[length:])
        return _RIGHT if answer.status_code == httpx.codes.OK and is_same else str(answer.status_code)

    def grpc(rows: int, _: threading.Event) -> str:
        """The same by NVIDIA's client."""
        given = np.frombuffer(bodies[rows][0][bodies[rows][1] :], "<f4").reshape(rows, *images.SHAPE)
        tensor = triton.InferInput(images.INPUT, list(given.shape), "FP32")
        tensor.set_data_from_numpy(given)
        with triton.InferenceServerClient(server.grpc_address) as client:
            answer = client.infer(
                images.NAME, [tensor], outputs=[triton.InferRequestedOutput(images.SAME)], client_timeout=PATIENCE_S
            )
        return _RIGHT if np.array_equal(answer.as_numpy(images.SAME), given) else "200, wrong"

    return {
        "gzip bomb of 10 GiB": partial(whole, ("content-encoding: gzip", f"content-length: {len(bomb)}"), bomb),
        "a byte a second": slowly,
        f"{CHUNKS:,} chunks": partial(whole, ("transfer-encoding: chunked",), many),
        f"JSON {DEPTH:,} deep": partial(whole, (f"content-length: {len(deep)}",), deep),
        "20 MB, REST binary": partial(rest, ROWS_20_MB),
        "20 MB, gRPC": partial(grpc, ROWS_20_MB),
        "64 MiB, REST binary": partial(rest, ROWS_64_MB),
        "64 MiB, gRPC": partial(grpc, ROWS_64_MB),
    }


def measure(target: Target, attack: Attack, rate: float, seconds: float, findings: Findings, quiet_ms: float) -> float:
    """One heavy run and the quiet one after it, added to the findings.

    Args:
        target: Of the steady clients.
        attack: Sends the heavy requests.
        rate: Steady requests a second.
        seconds: Length of a run.
        findings: Where what was found goes.
        quiet_ms: The 99th percentile of the quiet run before it.

    Returns:
        That of the quiet run after it.
    """
    end = threading.Event()

    def send() -> None:
        """Again and again, a second apart."""
        _go_last()
        while not end.is_set():
            begin = time.monotonic()
            try:
                findings.outcomes[attack(end)] += 1
            except Exception as error:  # every client has its own; whatever it is belongs into the table
                findings.outcomes[f"{type(error).__name__}: {str(error)[:80]}"] += 1
            end.wait(max(0.0, EVERY_S - (time.monotonic() - begin)))

    sender = threading.Thread(target=send)
    sender.start()
    heavy_ms = _p99_ms(target, rate, seconds)
    end.set()
    sender.join()
    after_ms = _p99_ms(target, rate, seconds)
    findings.p99_ms.append(heavy_ms)
    findings.ratios.append(2 * heavy_ms / (quiet_ms + after_ms))
    return after_ms


def _go_last() -> None:
    """Have this thread, and those that it starts, go after all others: a client's own work is not the server's."""
    if sys.platform == "linux":  # elsewhere only processes have a priority
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LAST)


def _p99_ms(target: Target, rate: float, seconds: float) -> float:
    load = OpenLoad(target, (Phase(rate, seconds),))
    return generators.run(load).point(load).p99_ms


def table(found: Mapping[str, Findings]) -> Table:
    """A row for each heavy request."""
    shown = Table("one a second", "outcome", "steady clients' p99 ms", "x quiet")
    for name, one in found.items():
        outcome = ", ".join(f"{outcome} ({count})" for outcome, count in one.outcomes.most_common())
        shown.add_row(name, outcome, f"{statistics.median(one.p99_ms):.1f}", f"{one.ratio:.2f}")
    return shown


def main(
    rate: Annotated[float, typer.Option(min=1, help="Steady requests a second.")] = 200.0,
    seconds: Annotated[float, typer.Option(min=1, help="Length of a run.")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1, help="Of every heavy request.")] = 3,
    express: Annotated[bool, typer.Option("--express", help="At the express door.")] = False,
) -> None:
    """Serve, send, and exit 1 if anything was neither served nor refused, or steady clients noticed too much."""
    keep_freed_pages()  # the client's page faults would take as much of the server's cores as the server does
    with images.serving_images() as server, Progress(refresh_per_second=1) as progress:
        url = server.express_url if express else server.url
        target, all_attacks = digits_target(url, "v1"), attacks(server, url)
        found = {name: Findings() for name in all_attacks}
        task = progress.add_task("heavy requests", total=rounds * len(all_attacks))
        _p99_ms(target, rate, seconds)  # warm-up
        quiet_ms = _p99_ms(target, rate, seconds)
        for _ in range(rounds):
            for name, attack in all_attacks.items():
                quiet_ms = measure(target, attack, rate, seconds, found[name], quiet_ms)
                progress.advance(task)
    Console().print(table(found))
    raise typer.Exit(1 if any(one.is_wrong for one in found.values()) else 0)


if __name__ == "__main__":
    typer.run(main)
