"""Giving up a few to serve many, and only then."""

from __future__ import annotations

from support.simulation import Arrival, waiting

from serve_app.batching.lookahead import heads_to_give_up


def seconds(rows: int) -> float:
    return 10 + rows


def given_up(*arrivals, now=0.0, max_rows=8) -> list[float]:
    return [piece.job.submitted for piece in heads_to_give_up(waiting(*arrivals), now, max_rows, seconds)]


def test_nobody_is_given_up_while_all_can_be_served():
    assert given_up(*(Arrival(number, 100 + number) for number in range(8))) == []


def test_a_tight_head_is_served_alone_if_the_others_can_wait_for_it():
    assert given_up(Arrival(0, 12), *(Arrival(number, 100) for number in range(1, 8))) == []


def test_tight_heads_are_given_up_if_serving_them_makes_more_others_late():
    # one head alone ends at 11 and the other seven, 17 later, at 28: too late for them; without it they end at 17
    assert given_up(Arrival(0, 12), *(Arrival(number, 20) for number in range(1, 8))) == [0]
