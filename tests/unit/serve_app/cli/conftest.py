"""A real HTTP server in a thread that answers what a test tells it to, and a runner for commands."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from serve_app.cli.app import build_app


@dataclass
class FakeServer:
    """Answers by `(method, path)` with `(status, body, headers)` and keeps what it was asked."""

    url: str = ""
    answers: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    tokens: list = field(default_factory=list)

    def on(self, method, path, document, status=200, headers=None):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.answers[method, path] = (status, body, headers or {})


def _handler(fake):
    class Handler(BaseHTTPRequestHandler):
        def _answer(self):
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length)
            fake.tokens.append(self.headers.get("authorization"))
            fake.asked.append((self.command, self.path, json.loads(body) if body else None))
            status, content, headers = fake.answers.get((self.command, self.path), (404, b'{"error": "not here"}', {}))
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer

        def log_message(self, *_):
            pass

    return Handler


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(fake))
    fake.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield fake
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def run():
    """Run a command line; returns exit code, stdout and stderr."""

    def invoke(*arguments, extra_checks=()):
        result = CliRunner().invoke(build_app(extra_checks), [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return invoke
