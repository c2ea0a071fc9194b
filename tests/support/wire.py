"""HTTP by hand: heads and bodies as a test wants them, on a connection of its own."""

from __future__ import annotations

import asyncio

from support.bad_requests import INFER


def head(length: int | str | None, path: str = INFER, method: str = "POST", *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: gateway", *headers]
    if length is not None:
        lines.append("transfer-encoding: chunked" if length == "chunked" else f"content-length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), headers, await self.reader.readexactly(int(headers["content-length"]))

    async def leave(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()
