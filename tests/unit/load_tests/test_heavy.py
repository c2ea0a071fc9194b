"""Heavy requests are what they say, and what comes of them is judged."""

from __future__ import annotations

import socket
import threading
import zlib
from collections import Counter
from itertools import count

import pytest
from rich.console import Console

from load_tests import generators, heavy
from load_tests.heavy import Findings, chunked, deep_json, exchange, gzip_bomb, measure, table
from load_tests.load_command import digits_target
from load_tests.open_loop import OpenResult


def test_the_bomb_unpacks_to_what_it_says():
    parts = list(gzip_bomb(200 * 2**20))
    assert sum(map(len, parts)) < 2**20
    stream, size = zlib.decompressobj(31), 0
    for part in parts:
        size += len(stream.decompress(part))
    assert size == 256 * 2**20


def test_chunks_and_depth_are_counted():
    body = chunked(b'{"a":1}', 1000)
    assert (body.count(b"\r\n \r\n"), body.endswith(b'{"a":1}\r\n0\r\n\r\n')) == (999, True)
    assert deep_json(50).count(b"[") == 50 + 2


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}", "413"), (b"", "closed without an answer")],
)
def test_an_answer_before_the_end_of_the_body_is_read(answer, outcome):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            connection.recv(10)
            connection.sendall(answer)
            connection.close()

        server = threading.Thread(target=refuse)
        server.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert exchange(url, ("content-length: 3",), iter([b"abc"])) == outcome
        server.join()


def test_a_run_is_compared_with_the_quiet_ones_around_it(monkeypatch):
    milliseconds = iter([30.0, 20.0])
    sent = count()

    def quiet(load) -> OpenResult:
        return OpenResult(offered=1, statuses=Counter({200: 1}), success_ms=[next(milliseconds)])

    monkeypatch.setattr(generators, "run", quiet)
    findings = Findings()
    began = threading.Event()

    def attack(end: threading.Event) -> str:
        began.set()
        return "413" if next(sent) >= 0 else ""

    assert measure(digits_target("http://localhost:1", "v1"), attack, 1, 1, findings, 10.0) == 20.0
    assert began.is_set()
    assert (findings.outcomes["413"], findings.ratios, findings.is_wrong) == (1, [2.0], True)


def test_what_is_neither_served_right_nor_refused_is_wrong():
    assert not Findings(Counter({"200, right": 2, "408": 1}), [1.0], [1.9]).is_wrong
    assert Findings(Counter({"502": 1}), [1.0], [1.0]).is_wrong
    console = Console(width=200, record=True)
    console.print(table({"bomb": Findings(Counter({"413": 9}), [12.0], [1.25])}))
    assert "bomb         │ 413 (9) │ 12.0                   │ 1.25" in console.export_text()


def test_there_are_attacks_of_every_kind():
    server = heavy.images.Images(None, "http://localhost:1", "localhost:2")  # type: ignore[arg-type]
    assert len(heavy.attacks(server, server.express_url)) == 8
