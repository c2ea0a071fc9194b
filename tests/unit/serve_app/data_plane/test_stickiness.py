"""Who a request's user is: by header, cookie, tensor or parameter."""

from __future__ import annotations

import numpy as np
import pytest

from serve_app.config.rollout import StickyConfig
from serve_app.data_plane.stickiness import MAX_USER, is_in_body, user_in_head, user_of
from serve_app.types import InferenceRequest

TENSOR, PARAMETER = StickyConfig(tensor="x"), StickyConfig(parameter="who")
HEADER, COOKIE = StickyConfig(header="X-User"), StickyConfig(cookie="sid")


def request(x: object = None, **more) -> InferenceRequest:
    return InferenceRequest("m", {} if x is None else {"x": x}, **more)


def test_a_header_is_looked_up_in_lower_case():
    assert user_in_head(HEADER, {"x-user": "ann"}.get) == "ann"
    assert user_in_head(HEADER, {}.get) == ""


@pytest.mark.parametrize(
    ("field", "user"),
    [
        ("sid=ann", "ann"),
        ("a=1; sid=ann; b=2", "ann"),
        ("a=1;sid = ann ;b=2", "ann"),
        ("sid=ann; sid=bob", "ann"),
        ("xsid=bob; SID=eve", ""),
        ("sid=a=b", "a=b"),
        ("sid", ""),
        ("sid=", ""),
        (";;=;", ""),
        ("", ""),
    ],
)
def test_a_cookie_is_found_among_others(field, user):
    assert user_in_head(COOKIE, {"cookie": field}.get) == user


def test_a_long_value_is_cut_and_one_that_not_every_door_hands_on_is_nobody():
    assert user_in_head(HEADER, {"x-user": "a" * 2000}.get) == "a" * MAX_USER
    assert user_in_head(HEADER, {"x-user": "änn"}.get) == ""


@pytest.mark.parametrize("sticky", [None, TENSOR, PARAMETER])
def test_no_other_kind_reads_the_head(sticky):
    assert user_in_head(sticky, {"x-user": "ann", "x": "ann", "who": "ann"}.get) == ""
    assert user_in_head(HEADER, None) == ""


@pytest.mark.parametrize(
    ("array", "user"),
    [
        (np.array([[7, 8]], np.int64), "7"),
        (np.array([0.5], np.float32), "0.5"),
        (np.array([0.1], np.float64), "0.1"),
        (np.array([True]), "True"),
        (np.array([b"ann", b"bob"], object), "ann"),
        (np.array([b"\xff"], object), "�"),
        (np.array([b"a" * 2000], object), "a" * MAX_USER),
        (np.array(["ann"], object), "ann"),
        (np.array([], np.float32), ""),
        ([7], ""),
    ],
)
def test_a_tensors_first_element_is_the_user(array, user):
    assert user_of(TENSOR, request(array)) == user


@pytest.mark.parametrize(("value", "user"), [("ann", "ann"), (7, "7"), (0.5, "0.5"), (True, "True"), ("", "")])
def test_a_parameter_is_the_user(value, user):
    assert user_of(PARAMETER, request(parameters={"who": value})) == user


def test_what_is_absent_is_nobody():
    assert user_of(TENSOR, request()) == ""
    assert user_of(PARAMETER, request()) == ""


def test_who_the_head_or_the_caller_names_is_the_user_where_users_are_kept():
    assert user_of(HEADER, request(user="ann")) == "ann"
    assert user_of(TENSOR, request(np.array([7]), user="a" * 2000)) == "a" * MAX_USER
    assert user_of(None, request(user="ann")) == ""


def test_only_the_body_says_tensors_and_parameters():
    assert [is_in_body(sticky) for sticky in (None, HEADER, COOKIE, TENSOR, PARAMETER)] == [False] * 3 + [True] * 2
