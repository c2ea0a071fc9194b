"""What the headers say about a request."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import InvalidInput
from serve_app.protocol.call import explain_of, flag_of, tenant_of, timeout_s_of, version_of


@pytest.mark.parametrize(
    ("field", "timeout_s"),
    [("", None), ("2", 2.0), ("0.25", 0.25), (".5", 0.5), ("000.010", 0.01), ("999999999999999", 999999999999999.0)],
)
def test_a_timeout_is_decimal_seconds(field, timeout_s):
    assert timeout_s_of(field) == timeout_s


@pytest.mark.parametrize(
    "field", ["0", "0.000", "-1", "+1", "1e3", "inf", "nan", "1_0", " 1", "1 ", "1.", "soon", "²", "9" * 40]
)
def test_what_is_no_time_is_named(field):
    with pytest.raises(InvalidInput, match=r"header 'x-request-timeout-seconds' is '.*', must be a decimal number"):
        timeout_s_of(field)


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_an_error_of_ours(field):
    try:
        timeout_s = timeout_s_of(field)
    except InvalidInput:
        return
    assert timeout_s is None or (timeout_s > 0 and math.isfinite(timeout_s))


def test_a_tenant_is_printable_and_short():
    assert [tenant_of(field) for field in ("", "team a/b", "x" * 128)] == ["", "team a/b", "x" * 128]
    with pytest.raises(InvalidInput, match="header 'x-tenant-id' has 129 characters, the limit is 128"):
        tenant_of("x" * 129)
    for field in ("a\tb", "é", "\x7f"):
        with pytest.raises(InvalidInput, match="must be printable ASCII"):
            tenant_of(field)


@pytest.mark.parametrize(
    ("query", "field", "told"),
    [
        ("", "", False),
        ("explain=1", "", True),
        ("a=b&explain=true&c", "", True),
        ("explain=0", "", False),
        ("explains=7&explain%20=7", "", False),
        ("", "1", True),
        ("", "false", False),
        ("explain=0", "true", True),
        ("explain=0&explain=1", "0", True),
    ],
)
def test_the_url_or_a_header_ask_for_an_explanation(query, field, told):
    assert explain_of(query, field) is told


@pytest.mark.parametrize(
    ("query", "field", "named"),
    [
        ("explain=yes", "", "query parameter 'explain' is 'yes', must be 1, true, 0 or false"),
        ("explain", "", "query parameter 'explain' is ''"),
        ("explain=1&explain=TRUE", "", "query parameter 'explain' is 'TRUE'"),
        ("explain=%ff", "", "query parameter 'explain' is '.ufffd'"),
        ("", "on", "header 'x-explain' is 'on'"),
        ("explain=1", "é", "header 'x-explain' is '.xe9'"),
    ],
)
def test_what_is_neither_yes_nor_no_is_named(query, field, named):
    with pytest.raises(InvalidInput, match=named):
        explain_of(query, field)


@given(st.text(max_size=40), st.text(max_size=10))
def test_any_query_and_header_are_an_answer_or_an_error_of_ours(query, field):
    try:
        told = explain_of(query, field)
    except InvalidInput:
        return
    assert isinstance(told, bool)


def test_flags():
    assert [flag_of(text, "x") for text in ("1", "true", "0", "false")] == [True, True, False, False]


@pytest.mark.parametrize(
    ("field", "told", "version"), [("", "", ""), ("", "v1", "v1"), ("v2", "", "v2"), ("v1", "v1", "v1")]
)
def test_a_version_is_what_the_header_or_the_request_itself_says(field, told, version):
    assert version_of(field, told) == version


@pytest.mark.parametrize("field", ["v 2", "-v2", "v2\n", "é", "v" * 129])
def test_a_version_that_is_no_name_is_refused(field):
    with pytest.raises(InvalidInput, match=r"header 'x-model-version' is '.*', must be a version tag or label of at"):
        version_of(field, "")


def test_a_version_that_contradicts_the_request_is_refused():
    with pytest.raises(InvalidInput, match="header 'x-model-version' is 'v2', the request itself says 'v1'"):
        version_of("v2", "v1")
