"""Requests to a server and the sentences for what goes wrong."""

import pickle
import socket

import httpx
import pytest

from serve_app.cli.output import CommandError
from serve_app.cli.server import Refused, Server, model_path


def get(url, path="/x", timeout_s=5.0):
    with Server(url, timeout_s) as server:
        return server.get(path)


def test_an_answer_has_its_document_and_headers(server):
    server.on("GET", "/x", {"a": 1}, headers={"X-Request-Id": "7"})
    answer = get(server.url + "/")
    assert answer.document == {"a": 1}
    assert answer.headers["x-request-id"] == "7"


def test_the_servers_own_sentence_is_the_error(server):
    server.on("GET", "/x", {"error": "model 'a' is not served here"}, status=404)
    with pytest.raises(CommandError, match=r"^model 'a' is not served here \(status 404\)$"):
        get(server.url)


def test_an_error_without_a_sentence_is_told_by_its_status(server):
    server.on("GET", "/x", b"<html>bad gateway</html>", status=502)
    with pytest.raises(CommandError, match=rf"^GET {server.url}/x was answered with status 502$"):
        get(server.url)


def test_an_answer_that_is_no_json_is_an_error(server):
    server.on("GET", "/x", b"hello")
    with pytest.raises(CommandError, match=f"GET /x was not answered with JSON; is a serve-app at {server.url}"):
        get(server.url)


def test_nobody_there_is_an_error():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(CommandError, match=f"{url} cannot be reached: .*refused"):
            get(url)


def test_silence_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(CommandError, match=rf"{url} did not answer within 0\.05 s"):
            get(url, timeout_s=0.05)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://a", "http://", "http://a:b"])
def test_what_is_no_url_is_an_error(url):
    with pytest.raises(CommandError, match="cannot be reached"):
        get(url)


def test_names_are_quoted_in_paths():
    assert model_path("digits", None) == "/v2/models/digits"
    assert model_path("a/b", "v 1") == "/v2/models/a%2Fb/versions/v%201"


def test_a_token_is_sent_along():
    seen = []
    with Server("http://server", 5, "secret") as client:
        client._client = httpx.Client(
            transport=httpx.MockTransport(lambda request: seen.append(request) or httpx.Response(200))
        )
        client.put("/x", {"a": 1})
    (request,) = seen
    assert (request.method, request.headers["authorization"], request.content) == ("PUT", "Bearer secret", b'{"a":1}')


def test_a_refusal_keeps_its_status_and_body(server):
    server.on("GET", "/x", b"because", status=409)
    with Server(server.url, 5) as client, pytest.raises(Refused) as refused:
        client.get("/x")
    assert (refused.value.status, refused.value.body) == (409, "because")
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)  # noqa: S301 - our own


@pytest.mark.parametrize("token", ["s3cret\nmore", "s3cret\0", "s3crét"])
def test_a_token_that_no_header_can_have_is_refused_and_not_shown(token):
    with pytest.raises(CommandError, match="the token has characters that no header can have") as raised:
        Server("http://127.0.0.1:9", 1.0, token)
    assert "s3cr" not in str(raised.value)
