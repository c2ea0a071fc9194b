import pytest

from load_tests.http_wire import address, parse_answer, post


@pytest.mark.parametrize("body", [b"", b"{}", bytes(range(256))])
def test_a_post_says_its_length(body):
    said = post("http://h:1/p", body, "application/octet-stream", [("x-a", "1")])
    assert said.startswith(b"POST /p HTTP/1.1\r\nHost: h:1\r\nContent-Type: application/octet-stream\r\nx-a: 1\r\n")
    assert said.endswith(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


def test_an_address_needs_a_host():
    assert address("http://h/p") == ("h", 80)
    assert address("http://127.0.0.1:8000/p") == ("127.0.0.1", 8000)
    with pytest.raises(ValueError, match="'h:80/p' is not of the form"):
        address("h:80/p")


def test_an_answer_is_whole_once_its_length_is_there():
    whole = b"HTTP/1.1 200 OK\r\nX: 1\r\ncontent-LENGTH: 3\r\nY: 2\r\n\r\nabc"
    assert [parse_answer(whole[:end]) for end in (5, 20, len(whole) - 1)] == [None, None, None]
    assert parse_answer(whole) == (200, True, b"abc")


def test_a_chunked_answer_is_whole_with_its_last_chunk_and_loses_its_framing():
    head = b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    chunks = b"3\r\nab\n\r\nA;x=1\r\n0\r\n\r\n56789\r\n0\r\n\r\n"
    assert [parse_answer(head + chunks[:end]) for end in range(len(chunks))] == [None] * len(chunks)
    assert parse_answer(head + chunks) == (503, False, b"ab\n0\r\n\r\n56789")


def test_an_answer_without_a_length_has_no_body():
    assert parse_answer(b"HTTP/1.1 204 No Content\r\n\r\n") == (204, True, b"")
    assert parse_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") == (200, True, b"")
