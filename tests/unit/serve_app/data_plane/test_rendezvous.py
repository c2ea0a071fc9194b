"""Rendezvous hashing: shares as the weights say, and nobody moves who need not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest

from serve_app.data_plane.rendezvous import pick

USERS = [f"user-{number}" for number in range(20_000)]


def picked(**weights: float) -> dict[str, str]:
    return {user: pick("m", user, weights) for user in USERS}


def moved(before: dict[str, str], after: dict[str, str]) -> Counter[tuple[str, str]]:
    return Counter((before[user], after[user]) for user in USERS if before[user] != after[user])


@pytest.mark.parametrize(
    "weights", [{"v1": 90, "v2": 10}, {"v1": 50, "v2": 30, "v3": 20}, {"v1": 99.5, "v2": 0.5}, {"v1": 1, "v2": 1}]
)
def test_shares_match_the_weights(weights):
    shares = Counter(picked(**weights).values())
    for version, weight in weights.items():
        share = weight / sum(weights.values())
        deviation = (share * (1 - share) / len(USERS)) ** 0.5
        assert shares[version] / len(USERS) == pytest.approx(share, abs=4 * deviation)


def test_from_10_to_20_percent_moves_a_tenth_of_the_users_and_none_back():
    moves = moved(picked(v1=90, v2=10), picked(v1=80, v2=20))
    assert set(moves) == {("v1", "v2")}
    assert moves["v1", "v2"] / len(USERS) == pytest.approx(0.10, abs=0.01)


def test_a_version_that_goes_moves_only_its_own_users():
    before, after = picked(v1=60, v2=30, v3=10), picked(v1=60, v3=10)
    assert {source for source, _ in moved(before, after)} == {"v2"}


def test_a_version_that_comes_only_wins_users():
    assert {target for _, target in moved(picked(v1=60, v2=30), picked(v1=60, v2=30, v3=10))} == {"v3"}


def test_beside_a_third_version_few_go_round():
    moves = moved(picked(v1=80, v2=10, v3=10), picked(v1=70, v2=20, v3=10))
    assert set(moves) == {("v1", "v2"), ("v1", "v3"), ("v3", "v2")}
    assert sum(moves.values()) / len(USERS) < 0.12  # 0.10 if nobody did


def test_the_scale_and_the_order_of_the_weights_make_no_difference():
    assert picked(v1=90, v2=10) == picked(v2=1, v1=9)


def test_models_draw_their_users_apart():
    other = {user: pick("other", user, {"v1": 50, "v2": 50}) for user in USERS}
    agree = sum(other[user] == version for user, version in picked(v1=50, v2=50).items())
    assert agree / len(USERS) == pytest.approx(0.5, abs=0.015)


def test_every_process_picks_alike():
    program = (
        "from serve_app.data_plane.rendezvous import pick; "
        "print(*(pick('m', f'user-{n}', {'v1': 90, 'v2': 10}) for n in range(40)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", program]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603 - our own
    assert told.stdout.split() == list(picked(v1=90, v2=10).values())[:40]


def test_any_text_is_a_user():
    assert pick("m", "\udc80 ü \0", {"v1": 1}) == "v1"
