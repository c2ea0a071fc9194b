"""HTTP/1.1 as the load generators speak it: whole requests out, whole answers in, one at a time on a connection.

A full HTTP client would need more CPU than the server under test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

JSON = "application/json"
Headers = Sequence[tuple[str, str]]


class Answer(NamedTuple):
    """A whole answer.

    Attributes:
        status: HTTP status.
        keeps_alive: Whether another request may follow on the connection.
        body: Without any framing.
    """

    status: int
    keeps_alive: bool
    body: bytes


def post(url: str, body: bytes, content_type: str = JSON, headers: Headers = ()) -> bytes:
    """The bytes of a keep-alive POST."""
    parts = urlsplit(url)
    lines = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Type: {content_type}"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def address(url: str) -> tuple[str, int]:
    """Host and port of a URL; port 80 where it names none.

    Raises:
        ValueError: It is not an http URL with a host.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{url!r} is not of the form http://host[:port]/path")
    return parts.hostname, parts.port or 80


def parse_answer(data: bytes) -> Answer | None:
    """The answer in `data`, or None while some of it is missing; an answer without any length has no body."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head, start = data[:end].lower(), end + 4
    if b"transfer-encoding: chunked" in head:
        body = _unchunked(data, start)
    else:
        body = data[start:] if len(data) - start >= _content_length(head) else None
    return None if body is None else Answer(int(data[9:12]), b"\nconnection: close" not in head, body)


def _unchunked(data: bytes, start: int) -> bytes | None:
    """The body of chunks from `start` on, or None while the last one is missing; there are no trailers."""
    body = bytearray()
    while (end := data.find(b"\r\n", start)) >= 0:
        size = int(data[start:end].partition(b";")[0], 16)
        start = end + 2 + size + 2
        if len(data) < start:
            return None
        if not size:
            return bytes(body)
        body += data[end + 2 : start - 2]
    return None


def _content_length(head: bytes) -> int:
    at = head.find(b"\ncontent-length:")
    if at < 0:
        return 0
    end = head.find(b"\r", at)
    return int(head[at + 16 : end if end >= 0 else len(head)])
