"""What is claimed of users, held against a few of them."""

from __future__ import annotations

from load_tests.releases import users
from load_tests.releases.outcomes import Outcome


def answers(version_of: dict[str, str], gateways: str = "ab") -> list[Outcome]:
    return [
        Outcome(1.0, 0, 1.0, 200, version, 1, gateway, user)
        for user, version in version_of.items()
        for gateway in gateways
    ]


def split(of_v2: int) -> dict[str, str]:
    return {user: "v2" if number < of_v2 else "v1" for number, user in enumerate(users.USERS)}


def held(before: dict[str, str], after: dict[str, str], gateways: str = "ab") -> list[bool]:
    return [claim.is_true for claim in users._claims(answers(before, gateways), answers(after, gateways))]


def test_a_tenth_that_becomes_a_fifth_moves_a_tenth():
    assert held(split(60), split(120)) == [True, True, True]


def test_users_that_only_one_gateway_answered_prove_nothing():
    assert held(split(60), split(120), "a")[0] is False


def test_one_that_moves_back_or_is_torn_is_found():
    after = split(121) | {users.USERS[0]: "v1"}
    assert held(split(60), after)[1] is False
    torn = [*answers(split(60)), Outcome(1.0, 0, 1.0, 200, "v1", 1, "a", users.USERS[0])]
    assert users._claims(torn, answers(split(120)))[0].is_true is False


def test_too_many_that_move_are_found():
    assert held(split(60), split(200))[2] is False
