"""Sticky users at two gateway replicas: a weight that grows from 10% to 20% moves only the users it must."""

from __future__ import annotations

from pathlib import Path

from load_tests.releases import files, scene
from load_tests.releases.claims import Claim, all_right, nothing_lost
from load_tests.releases.files import DIGITS
from load_tests.releases.load import under_load
from load_tests.releases.outcomes import Outcomes, between, versions_of_users
from load_tests.releases.running import serving
from load_tests.releases.truth import labels_of

USERS = tuple(f"user-{number}" for number in range(600))
STICKY = {"header": "x-user"}
ROUNDS, GATEWAYS = 5, 2
RATE_PER_S = 100.0
TOLERANCE = 0.04  # three standard deviations of a share of 10 to 20% among 600 users, rounded


def sticky_users(folder: Path) -> list[Claim]:
    """Every user is sent several times before and after the change."""
    first = scene.base(folder, gateways=GATEWAYS).serving(files.digits("v1")).serving(files.digits("v2"))
    tenth = first.routed(DIGITS, {"v1": 90, "v2": 10}, sticky=STICKY)
    fifth = first.routed(DIGITS, {"v1": 80, "v2": 20}, sticky=STICKY)
    seconds = ROUNDS * len(USERS) / RATE_PER_S
    with serving(tenth, folder, "users") as running:
        are_ready = scene.comes(lambda: len(running.status()["gateways"]) == GATEWAYS)
        are_ready &= scene.answers_with(running, DIGITS, "v1", "v2")  # who has no version yet is given another one
        with under_load(running.sending_express(DIGITS, RATE_PER_S, users=USERS)) as load:
            load.wait(seconds)
            apply = running.apply(fifth)
            load.wait(scene.SETTLED_S + seconds)
    before = between(load.outcomes, 0, apply.began_s)
    after = between(load.outcomes, apply.ended_s + scene.SETTLED_S)
    truth = {version: labels_of(files.digits(version)) for version in ("v1", "v2")}
    at_first = Claim("both versions are ready at both gateways at first", str(are_ready), are_ready)
    return [at_first, nothing_lost(load), all_right(load.outcomes, truth), *_claims(before, after)]


def _claims(before: Outcomes, after: Outcomes) -> list[Claim]:
    was, now = versions_of_users(before), versions_of_users(after)
    torn = [user for versions in (was, now) for user, found in versions.items() if len(found) > 1]
    had, has = ({user for user, found in versions.items() if found == {"v2"}} for versions in (was, now))
    shares = len(had) / len(USERS), len(has) / len(USERS)
    gateways = [_gateways_of_users(outcomes) for outcomes in (before, after)]
    return [
        Claim(
            "the same user always gets the same version",
            f"{len(torn)} of {len(was)} users got two; {gateways[0]} and {gateways[1]} of them asked both gateways",
            not torn and min(gateways) > len(USERS) / 2,
        ),
        Claim("nobody moves back", f"{len(had - has)} of {len(had)} users of v2 left it", not had - has),
        Claim(
            "only those move that must",
            f"{len(has - had)} of {len(USERS)} users moved to v2; its share {shares[0]:.1%}, then {shares[1]:.1%}",
            abs(shares[0] - 0.1) < TOLERANCE
            and abs(shares[1] - 0.2) < TOLERANCE
            and len(has - had) == len(has) - len(had),
        ),
    ]


def _gateways_of_users(outcomes: Outcomes) -> int:
    """How many users were answered by two gateway replicas at least."""
    found: dict[str, set[str]] = {}
    for outcome in outcomes:
        if not outcome.failed:
            found.setdefault(outcome.user, set()).add(outcome.gateway)
    return sum(len(gateways) > 1 for gateways in found.values())
