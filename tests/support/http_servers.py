"""Small real HTTP servers that answer as a test tells them to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from load_tests.target import Target


def answer(status: int = 200, body: bytes = b"{}", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Seen:
    """What a server was asked: heads in lower case, bodies, and how many connections there were."""

    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """The port of a server in this loop, which ends once every client was served, with all connections closed.

    `serve` may let pass that its client is gone.
    """
    serving = set[asyncio.Task[None]]()

    async def see_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await serve(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(see_off(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        async with server:
            yield server.sockets[0].getsockname()[1]
        for _ in range(3):  # the loop hands over a connection that was accepted just now two turns later
            await asyncio.sleep(0)
        await asyncio.gather(*serving)
    finally:
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The next request's head, in lower case, and its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    return head, await reader.readexactly(length)


@asynccontextmanager
async def answering(
    reply: Callable[[int], bytes | None], bodies: tuple[bytes, ...] = (b"a",)
) -> AsyncIterator[tuple[Target, Seen]]:
    """A server in this loop; `reply` gives the answer to the n-th request, or None to hang up."""
    seen = Seen()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        while True:
            head, body = await read_request(reader)
            seen.heads.append(head)
            seen.bodies.append(body)
            said = reply(len(seen.bodies) - 1)
            if said is None:
                break
            for part in (said[:5], said[5:]):  # an answer may come in pieces
                writer.write(part)
                await writer.drain()
            if b"\r\nconnection: close" in said.lower():
                break

    async with listening(serve) as port:
        yield Target("fake", "digits", f"http://127.0.0.1:{port}/infer", bodies), seen


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer, head and body apart, takes 40 ms
    pages: dict[str, bytes]
    bodies: list[bytes]

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self._say(200 if self.path == "/infer" else 503, b"{}")

    def do_GET(self) -> None:
        self._say(200 if self.path in self.pages else 404, self.pages.get(self.path, b""))

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class ThreadServer:
    """POST /infer answers 200, any other POST 503; GET answers from `pages`."""

    url: str
    pages: dict[str, bytes]
    bodies: list[bytes]

    def target(self, name: str = "fake", path: str = "/infer", bodies: tuple[bytes, ...] = (b"a", b"bb")) -> Target:
        return Target(name, "digits", self.url + path, bodies)


@contextmanager
def serving() -> Iterator[ThreadServer]:
    pages: dict[str, bytes] = {}
    bodies: list[bytes] = []
    handler = type("Handler", (_Handler,), {"pages": pages, "bodies": bodies})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    http.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients may leave when they like
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield ThreadServer(f"http://127.0.0.1:{http.server_port}", pages, bodies)
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
