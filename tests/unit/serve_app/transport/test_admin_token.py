"""Who may change what is served."""

from __future__ import annotations

import pytest

from serve_app.config.gateway import GatewayArgs
from serve_app.errors import Forbidden, Unauthorized
from serve_app.transport.admin_token import AdminToken

RAY = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "of-ray"}


def headers(token: str, scheme: str = "Bearer", **more: str) -> dict[str, str]:
    return {"authorization": f"{scheme} {token}", **more}


@pytest.mark.parametrize("token", ["of-ray", "of-admin"])
def test_the_clusters_token_and_the_admins_are_accepted(token):
    args = GatewayArgs.model_validate({"admin": {"token_env": "ADMIN"}})
    accepted = AdminToken.of(args, {**RAY, "ADMIN": " of-admin\n"})
    accepted.check(headers(token), "POST /x")
    accepted.check(headers(token, "bearer"), "POST /x")
    accepted.check(headers(token) | {"sec-fetch-site": "none"}, "POST /x")


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ({}, "POST /x needs a token: send 'authorization: Bearer"),
        (headers("wrong"), "POST /x needs another token than the one sent"),
        (headers("of-ra"), "another token"),
        (headers(""), "another token"),
        (headers("of-ray", "Basic"), "another token"),
        ({"authorization": "of-ray"}, "another token"),
        (headers("\u00e9\udc80"), "another token"),
    ],
)
def test_no_token_or_a_wrong_one_is_unauthorized(sent, says):
    with pytest.raises(Unauthorized, match=says) as refused:
        AdminToken(("of-ray",)).check(sent, "POST /x")
    assert "wrong" not in str(refused.value)


@pytest.mark.parametrize("environment", [{}, {"ADMIN": ""}, {"ADMIN": " "}])
def test_a_server_without_a_token_allows_nothing(environment):
    args = GatewayArgs.model_validate({"admin": {"token_env": "ADMIN"}})
    for sent in ({}, headers("")):
        with pytest.raises(
            Forbidden, match=r"POST /x is not allowed here; .*RAY_AUTH_MODE=token.*args\.admin\.token_env"
        ):
            AdminToken.of(args, environment).check(sent, "POST /x")


def test_the_variable_of_the_admins_token_is_not_read_unless_it_is_named():
    with pytest.raises(Forbidden):
        AdminToken.of(GatewayArgs(), {"ADMIN": "x"}).check(headers("x"), "POST /x")


@pytest.mark.parametrize(
    "by_browser",
    [
        {"origin": "https://evil"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-origin"},
    ],
)
def test_a_page_in_a_browser_is_refused_whatever_it_sends(by_browser):
    with pytest.raises(Forbidden, match=r"POST /x from a page in a browser is not allowed here$"):
        AdminToken(("of-ray",)).check(headers("of-ray") | by_browser, "POST /x")
