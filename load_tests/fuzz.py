"""`python -m load_tests.fuzz --minutes 5`: broken requests, as raw bytes, at both doors of a running server.

Hypothesis takes right requests of every protocol and cuts, repeats, swaps and inserts bytes in their heads and bodies,
or makes new ones. Whatever comes, an answer is no 500 and no 502, nothing hangs, the server stays ready and goes on
answering right, and its memory stays flat.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import httpx
import orjson
import typer
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.progress import Progress

from load_tests.models import ROOT
from load_tests.soak.memory import MAX_GROWTH, MemorySample, growth_of
from load_tests.soak.production import is_ready, serving
from serve_app.transport.openapi import openapi_document

HANG_S = 10.0
PATIENCE_S = 0.1  # before the server is told that there is no more
EXAMPLES = 300  # of a seed; then readiness, a right answer and memory are looked at
CLOSED, HUNG = "closed without an answer", "no answer in time"
WRONG = {"500", "502", HUNG}

_ROW = [0.0] * 64
_PIXELS = {"name": "pixels", "datatype": "FP32", "shape": [1, 64]}
_JSON: Mapping[str, object] = {
    "/v2/models/digits/infer": {"inputs": [{**_PIXELS, "data": _ROW}]},
    "/v2/models/digits/versions/v1/infer": {
        "id": "1",
        "inputs": [{**_PIXELS, "data": [_ROW]}],
        "outputs": [{"name": "probabilities", "parameters": {"classification": 3}}],
        "parameters": {"timeout": 900000, "priority": 2},
    },
    "/v2/models/digits/generate": {"pixels": _ROW},
    "/v2/models/digits/generate_stream": {"pixels": _ROW, "parameters": {"priority": 1}},
    "/predict": {"input": [_ROW]},
    "/v1/models/digits:predict": {"instances": [_ROW]},
    "/v1/models/digits:classify": {"examples": [{"pixels": _ROW}]},
    "/predictions/digits": [_ROW],
    "/v2/repository/index": {"ready": True},
}


@dataclass(slots=True)
class Result:
    """What came of it.

    Attributes:
        outcomes: How often each status, or what else became of a request.
        wrong: The first requests with an outcome that must not be.
        failures: What else was wrong, in sentences.
        memory: Of the server's processes.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[str, bytes]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    memory: list[MemorySample] = field(default_factory=list)


def right_requests() -> list[bytes]:
    """Requests that are answered well, of every protocol and form."""
    requests = [_request("POST", path, orjson.dumps(body), ()) for path, body in _JSON.items()]
    head = orjson.dumps({"inputs": [{**_PIXELS, "parameters": {"binary_data_size": 256}}]})
    length = (b"inference-header-content-length: %d" % len(head),)
    infer = "/v2/models/digits/infer"
    requests.append(_request("POST", infer, head + bytes(256), length))
    requests.append(_request("POST", infer, bytes(256), (b"inference-header-content-length: 0",)))
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(head), head)
    requests.append(b"POST %s HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n%s" % (infer.encode(), chunk))
    form = b'--b\r\ncontent-disposition: form-data; name="data"\r\n\r\n' + bytes(256) + b"\r\n--b--\r\n"
    requests.append(_request("POST", "/predictions/digits", form, (b"content-type: multipart/form-data; boundary=b",)))
    gets = (path for path, methods in _items(openapi_document()["paths"]) if "get" in dict(_items(methods)))
    requests += [
        _request("GET", path.replace("{model}", "digits").replace("{version}", "v1"), b"", ()) for path in gets
    ]
    return requests


def requests() -> st.SearchStrategy[bytes]:
    """Broken requests, and some that are whole."""
    token = st.sampled_from(
        [b"\r\n", b"\0", b"[", b"{", b'"', b"]", b"1e999", b"-1", b"99999999999999999999", b"NaN", b"null", b"\xff\xfe",
         b"%00", b"../", b"{}", b"gzip", b"chunked", b"content-encoding: gzip\r\n", b"x-tenant-id: \xe9\r\n",
         b"expect: 100-continue\r\n", b"x-request-timeout-seconds: 1e9\r\n", b"\\ud800"]
    )  # fmt: skip
    change = st.tuples(
        st.floats(0, 1), st.sampled_from(["insert", "replace", "cut", "repeat"]), token | st.binary(max_size=8)
    )
    right = st.sampled_from(right_requests())
    broken = st.builds(_broken, right, st.lists(change, max_size=4), st.booleans())
    return broken | st.binary(min_size=1, max_size=200)


def _broken(request: bytes, changes: list[tuple[float, str, bytes]], keep_length: bool) -> bytes:
    """A request with changes; its content-length is made right again if that is asked for."""
    for place, kind, token in changes:
        at = int(place * len(request))
        if kind == "insert":
            request = request[:at] + token + request[at:]
        elif kind == "replace":
            request = request[:at] + token + request[at + len(token) :]
        elif kind == "cut":
            request = request[:at] + request[at + 8 * len(token) :]
        else:
            request = request[:at] + request[at : at + 16] * 3 + request[at:]
    head, end, body = request.partition(b"\r\n\r\n")
    if keep_length and end and b"content-length: " in head:
        before, _, after = head.partition(b"content-length: ")
        head = before + b"content-length: %d\r\n" % len(body) + after.partition(b"\r\n")[2]
    return head.rstrip(b"\r\n") + end + body


def ask(address: tuple[str, int], request: bytes) -> str:
    """The status of the answer to raw bytes, or what became of them."""
    try:
        with socket.create_connection(address, HANG_S) as connection:
            with contextlib.suppress(OSError):  # an early refusal closes the way in, and its answer is there to be read
                connection.sendall(request)
                if not select.select([connection], [], [], PATIENCE_S)[0]:  # it waits for more, which will not come
                    connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(64)
    except TimeoutError:
        return HUNG
    except OSError:
        return CLOSED
    parts = answer.split(b" ", 2)
    return parts[1].decode("latin-1") if len(parts) > 1 and parts[0].startswith(b"HTTP/1.") else CLOSED


def fuzz(
    urls: list[str], minutes: float, memory: Callable[[], Mapping[str, int]] | None, on_time: Callable[[float], None]
) -> Result:
    """Ask for that long.

    Args:
        urls: Of the doors; each request goes to one of them.
        minutes: How long.
        memory: Gives PSS in bytes by process.
        on_time: Told the seconds that have passed.
    """
    result, begin, number = Result(), time.monotonic(), 0
    addresses = [(urlsplit(url).hostname or "", urlsplit(url).port or 80) for url in urls]
    while time.monotonic() < begin + 60 * minutes and not result.failures:
        number += 1

        @seed(number)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(request=requests(), address=st.sampled_from(addresses))
        def send(request: bytes, address: tuple[str, int]) -> None:
            outcome = ask(address, request)
            result.outcomes[outcome] += 1
            if outcome in WRONG and len(result.wrong) < 20:
                result.wrong.append((outcome, request))

        send()
        result.failures += [f"{url} is not as it should be" for url in urls if not _is_well(url)]
        if memory is not None:
            result.memory.append(MemorySample(time.monotonic() - begin, memory()))
        on_time(time.monotonic() - begin)
    if (growth := growth_of(result.memory)) and growth.share > MAX_GROWTH:
        result.failures.append(f"memory grew by {growth.share:.1%}, {MAX_GROWTH:.0%} is allowed")
    return result


def _is_well(url: str) -> bool:
    """Whether it is ready and answers right."""
    if not is_ready(url):
        return False
    try:
        answer = httpx.post(f"{url}/predict", json={"input": [_ROW]}, timeout=HANG_S)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK and len(answer.json()["prediction"]) == 1


def main(
    minutes: Annotated[float, typer.Option(min=0.01, help="How long.")] = 5.0,
    config: Annotated[Path, typer.Option(help="The serve file.")] = ROOT / "configs/prod.yaml",
) -> None:
    """Serve the file, ask, and exit 1 on anything that must not be."""
    console = Console()
    express = yaml.safe_load(config.read_text())["applications"][0]["args"]["express"]
    with serving(config) as production, Progress(console=console, refresh_per_second=1) as progress:
        task = progress.add_task("fuzz", total=60 * minutes)
        urls = [production.url, f"http://127.0.0.1:{express['port']}"]
        result = fuzz(urls, minutes, production.memory, lambda at_s: progress.update(task, completed=at_s))
    console.print(f"{result.outcomes.total():,} requests:", dict(result.outcomes.most_common()))
    if growth := growth_of(result.memory):
        console.print(f"memory {growth.share:+.1%} ({growth.first / 2**20:.0f} to {growth.last / 2**20:.0f} MiB)")
    for sentence in (*result.failures, *(f"{outcome}: {request!r}" for outcome, request in result.wrong)):
        console.print(sentence, markup=False)
    raise typer.Exit(1 if result.failures or result.wrong else 0)


def _request(method: str, path: str, body: bytes, fields: tuple[bytes, ...]) -> bytes:
    head = [f"{method} {path} HTTP/1.1".encode(), b"host: a", b"content-length: %d" % len(body), *fields]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def _items(value: object) -> list[tuple[str, object]]:
    return list(value.items()) if isinstance(value, Mapping) else []


if __name__ == "__main__":
    typer.run(main)
