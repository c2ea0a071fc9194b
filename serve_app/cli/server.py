"""A running server as the commands see it: V2 over HTTP, and every failure as a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import quote

import httpx
import orjson

from serve_app.cli.output import CommandError

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: its JSON and its headers (names are case-insensitive)."""

    document: object
    headers: Mapping[str, str]


class Refused(CommandError):
    """A server answered, and not with success.

    Attributes:
        status: Of HTTP.
        body: What it said.
    """

    def __init__(self, sentence: str, status: int, body: str) -> None:
        super().__init__(sentence, status, body)
        self.sentence, self.status, self.body = sentence, status, body

    def __str__(self) -> str:
        return self.sentence


class Unreachable(CommandError):
    """Nobody answered, or not in time."""


class Server:
    """Requests to one server; a context manager that closes its connections."""

    def __init__(self, url: str, timeout_s: float, token: str = "") -> None:
        """Remember where the server is; nothing is sent yet.

        Args:
            url: Where it answers.
            timeout_s: Longest wait for an answer, in seconds.
            token: Sent along as a bearer token, if there is one.

        Raises:
            CommandError: No header can have that token; it is not shown.
        """
        if not (token.isascii() and token.isprintable()):
            raise CommandError("the token has characters that no header can have: a line feed, or not ASCII")
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(timeout=timeout_s)

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._url

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str) -> Answer:
        """GET a JSON document.

        Raises:
            CommandError: Nobody answers, or the answer is an error.
        """
        return self._send("GET", path, None)

    def post(self, path: str, document: object) -> Answer:
        """POST a JSON document and read the JSON answer.

        Raises:
            CommandError: Nobody answers, or the answer is an error.
        """
        return self._send("POST", path, orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))

    def post_bytes(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
        """POST bytes; gives the answer's bytes and headers.

        Raises:
            CommandError: Nobody answers, or the answer is an error.
        """
        response = self._answer("POST", path, body, headers)
        return response.content, response.headers

    def put(self, path: str, document: object) -> None:
        """PUT a JSON document; what is answered does not matter.

        Raises:
            CommandError: Nobody answers, or the answer is an error.
        """
        self._answer("PUT", path, orjson.dumps(document), {"content-type": "application/json"})

    def _send(self, method: str, path: str, body: bytes | None) -> Answer:
        response = self._answer(method, path, body, {"content-type": "application/json"} if body is not None else {})
        try:
            return Answer(orjson.loads(response.content), response.headers)
        except orjson.JSONDecodeError:
            raise CommandError(f"{method} {path} was not answered with JSON; is a serve-app at {self._url}?") from None

    def _answer(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> httpx.Response:
        try:
            response = self._client.request(
                method, self._url + path, content=body, headers={**self._headers, **headers}
            )
        except httpx.TimeoutException:
            raise Unreachable(f"{self._url} did not answer within {self._timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(f"{self._url} cannot be reached: {error}") from None
        if not response.is_success:
            raise Refused(_refusal(response), response.status_code, response.text)
        return response


def model_path(model: str, version: str | None) -> str:
    """The V2 path of a model, or of one version (or label) of it."""
    path = f"/v2/models/{quote(model, safe='')}"
    return path if version is None else f"{path}/versions/{quote(version, safe='')}"


def _refusal(response: httpx.Response) -> str:
    """The server's own sentence where it gave one."""
    try:
        document = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, dict) and isinstance(document.get("error"), str):
        return f"{document['error']} (status {response.status_code})"
    return f"{response.request.method} {response.request.url} was answered with status {response.status_code}"
