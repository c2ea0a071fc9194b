"""Where Ray's token is looked for."""

from __future__ import annotations

import pytest

from serve_app.config.ray_token import ray_token, users_token


@pytest.fixture
def home(tmp_path):
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text("of-home\n")
    return tmp_path


def test_the_order_is_rays(home, tmp_path):
    other = tmp_path / "token"
    other.write_text(" of-path ")
    environment = {"RAY_AUTH_MODE": "TOKEN"}
    assert ray_token(environment, home) == "of-home"
    environment["RAY_AUTH_TOKEN_PATH"] = str(other)
    assert ray_token(environment, home) == "of-path"
    assert ray_token({**environment, "RAY_AUTH_TOKEN": " given "}, home) == "given"


@pytest.mark.parametrize("environment", [{}, {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "given"}])
def test_a_cluster_that_takes_no_token_has_none(home, environment):
    assert ray_token(environment, home) == ""


def test_a_file_that_cannot_be_read_is_no_token(tmp_path):
    assert ray_token({"RAY_AUTH_MODE": "token"}, tmp_path) == ""
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    assert ray_token({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}) == ""


def test_a_client_sends_its_token_whatever_its_own_mode_is(tmp_path):
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text("of-home\n")
    assert users_token({"HOME": str(tmp_path)}) == "of-home"
    assert users_token({"HOME": str(tmp_path), "RAY_AUTH_TOKEN": " of-variable "}) == "of-variable"
    assert users_token({"HOME": str(tmp_path / "none")}) == ""
