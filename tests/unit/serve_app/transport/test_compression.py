"""Content codings: what comes out, what is refused, and what is chosen."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import numpy as np
import pytest

from serve_app.errors import MalformedBody, TooLarge, UnknownCoding
from serve_app.transport.compression import CODINGS, MIN_BYTES, Decompressor, compressed, preferred

TEXT = b"0123456789" * 1000


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("text", [TEXT, TEXT * 100], ids=["in the loop", "in a thread"])
async def test_what_is_compressed_comes_back(coding, text):
    content, chosen = await compressed(text, coding)
    assert chosen == coding
    assert len(content) < len(text) / 10
    assert await Decompressor(len(text))(content, coding) == text


async def test_one_byte_over_the_limit_is_refused():
    content, _ = await compressed(TEXT, "gzip")
    assert await Decompressor(10_000)(content, "gzip") == TEXT
    with pytest.raises(TooLarge, match="has 10000 bytes or more, the limit is 9999"):
        await Decompressor(9_999)(content, "gzip")


@pytest.mark.parametrize("coding", CODINGS)
async def test_an_answer_that_hardly_shrinks_goes_as_it_is(coding):
    noise, floats = random.Random(0).randbytes(100_000), np.random.default_rng(0).random(100_000, np.float32).tobytes()
    for body in (noise, floats):
        assert await compressed(body, coding) == (body, "")
    assert (await compressed(bytes(100_000), coding))[1] == coding


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_bomb_is_refused_before_it_takes_memory(coding):
    bomb, _ = await compressed(bytes(2**28), coding)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="has 1048577 bytes or more, the limit is 1048576"):
            await Decompressor(2**20)(bomb, coding)
        assert tracemalloc.get_traced_memory()[1] < 2**22 + 4 * len(bomb)
    finally:
        tracemalloc.stop()


async def test_members_follow_each_other_and_share_the_limit():
    two = gzip.compress(b"ab") + gzip.compress(b"cd")
    assert await Decompressor(4)(two, "gzip") == b"abcd"
    with pytest.raises(TooLarge):
        await Decompressor(3)(two, "gzip")
    with pytest.raises(TooLarge, match="has 17 members or more, the limit is 16"):
        await Decompressor(100)(gzip.compress(b"a") * 17, "gzip")


async def test_members_of_many_pieces_come_back_in_their_order():
    texts = [TEXT * 70, random.Random(1).randbytes(600_000), b"", b"end"]
    body = b"".join(gzip.compress(text, 1) for text in texts)
    assert await Decompressor(2**21)(body, "gzip") == b"".join(texts)


async def test_deflate_is_read_with_and_without_its_envelope():
    bare = zlib.compressobj(wbits=-15)
    assert await Decompressor(100)(zlib.compress(b"text"), "deflate") == b"text"
    assert await Decompressor(100)(bare.compress(b"text") + bare.flush(), "deflate") == b"text"


@pytest.mark.parametrize("coding", ["", "br", "gzip, deflate"])
async def test_other_codings_are_named(coding):
    with pytest.raises(UnknownCoding, match="send one of zstd, gzip, deflate, or none"):
        await Decompressor(100)(b"text", coding)


async def test_identity_and_the_old_name_of_gzip():
    assert await Decompressor(1)(b"text", "identity") == b"text"
    assert await Decompressor(9)(gzip.compress(b"text"), " X-Gzip") == b"text"


@pytest.mark.parametrize("coding", CODINGS)
async def test_what_is_cut_off_or_something_else_is_refused(coding):
    content, _ = await compressed(TEXT, coding)
    with pytest.raises(MalformedBody, match=f"content-encoding {coding} has no end"):
        await Decompressor(10_000)(content[:-5], coding)
    with pytest.raises(MalformedBody, match=f"is not of its content-encoding {coding}"):
        await Decompressor(10_000)(b"\xff" * 100, coding)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("deflate, gzip;q=0.5", "deflate"),
        ("zstd;q=0, gzip;q=0.1", "gzip"),
        ("*", "zstd"),
        ("*;q=0.5, zstd;q=0.1", "gzip"),
        ("gzip;q=x", ""),
        ("gzip;level=1", ""),
        ("br", ""),
        ("identity", ""),
    ],
)
def test_the_client_chooses(accept, expected):
    assert preferred(accept) == expected


async def test_a_short_answer_is_sent_as_it_is():
    assert await compressed(b"a" * (MIN_BYTES - 1), "gzip") == (b"a" * (MIN_BYTES - 1), "")
    assert (await compressed(b"a" * MIN_BYTES, "gzip"))[1] == "gzip"
