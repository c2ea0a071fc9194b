"""Whose turn it is, and who gives way."""

from __future__ import annotations

from dataclasses import dataclass

from serve_app.batching.fairness import crowding_out, in_turns


@dataclass(eq=False)
class Asked:
    tenant: str
    name: int
    nbytes: int = 1
    rows: int = 1


def names(requests) -> list[int]:
    return [request.name for request in requests]


def test_one_tenant_keeps_its_order():
    assert names(in_turns([Asked("", n) for n in (3, 1, 2)])) == [3, 1, 2]


def test_turns_go_by_bytes_not_by_requests():
    big = [Asked("a", n, nbytes=10) for n in (1, 2)]
    small = [Asked("b", n, nbytes=5) for n in (11, 12, 13)]
    assert names(in_turns(big + small)) == [1, 11, 12, 2, 13]


def test_the_newest_of_the_largest_tenant_gives_way():
    held = [Asked("a", 1), Asked("a", 2), Asked("a", 3), Asked("b", 4)]
    assert names(crowding_out(held, "c", 1)) == [3]
    assert names(crowding_out(held, "b", 1)) == [3]


def test_nobody_gives_way_to_the_largest_or_to_one_that_would_become_it():
    held = [Asked("a", 1), Asked("a", 2), Asked("b", 3)]
    assert crowding_out(held, "a", 1) == []
    assert crowding_out(held, "b", 2) == []
    assert crowding_out(held, "c", 2) == []
    assert crowding_out([], "c", 1) == []
