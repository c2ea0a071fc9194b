"""Forms, as curl and requests write them."""

from __future__ import annotations

import contextlib

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import InvalidInput, MalformedBody, ServeAppError
from serve_app.protocol.multipart import MAX_PARTS, part_named

NAMES = ("data", "body")
TYPE = "multipart/form-data; boundary=b"


def form(**parts) -> tuple[bytes, str]:
    request = httpx.Request("POST", "http://x", files=parts)
    return request.read(), request.headers["content-type"]


@given(st.binary())
def test_a_files_bytes_come_out_as_they_went_in(content):
    part = part_named(NAMES, *form(data=("a.bin", content, "image/png")))
    assert bytes(part.content) == content
    assert part.headers["content-type"] == "image/png"
    assert part.disposition == {b"name": b"data", b"filename": b"a.bin"}


def test_what_looks_like_an_end_within_a_part_is_content():
    content = b"\r\n--\r\n--bb\r\n\r\n--b"
    body = b"--boundary\r\nContent-Disposition: form-data; name=body\r\n\r\n" + content + b"\r\n--boundary--\r\n"
    assert bytes(part_named(NAMES, body, "multipart/form-data; boundary=boundary").content) == content


def test_other_parts_are_left_alone():
    assert part_named(NAMES, *form(other=(None, b"1"), body=(None, b"2"))).content == b"2"


@pytest.mark.parametrize("count", [0, 2])
def test_one_part_is_expected(count):
    with pytest.raises(InvalidInput, match=f"^the form has {count} parts named data or body, 1 is expected$"):
        part_named(NAMES, *form(other=(None, b""), **dict.fromkeys(NAMES[:count], (None, b"1"))))


@pytest.mark.parametrize(
    ("body", "content_type", "says"),
    [
        (b"", "multipart/form-data", "without a boundary"),
        (b"", TYPE, "is cut off"),
        (b"--b\r\nContent-Disposition: form-data; name=data\r\n\r\nabc", TYPE, "is cut off"),
        (b"data=7", TYPE, "is not multipart/form-data"),
        (b"--b\r\n(: x\r\n\r\n", TYPE, "is not multipart/form-data"),
        (b"--b\r\n\r\n\r\n" * (MAX_PARTS + 1), TYPE, f"more than {MAX_PARTS} parts"),
        (b"", "multipart/form-data; boundary=" + "b" * 1000, "is not multipart/form-data"),
    ],
)
def test_what_is_no_form_is_refused(body, content_type, says):
    with pytest.raises(MalformedBody, match=says):
        part_named(NAMES, body, content_type)


@given(st.binary(), st.text(st.characters(max_codepoint=255)))
def test_any_bytes_are_a_form_or_an_error_of_ours(body, tail):
    for content_type in (TYPE, "multipart/form-data; boundary=" + tail):
        for content in (body, b"--b\r\n" + body, b"--b\r\nContent-Disposition: form-data; name=data\r\n" + body):
            with contextlib.suppress(ServeAppError):
                part_named(NAMES, content, content_type)
