"""Whose turn it is, and who gives way."""

from __future__ import annotations

from dataclasses import dataclass

from serve_app.batching.fairness import Turns, crowding_out


@dataclass(eq=False)
class Asked:
    tenant: str
    name: int
    nbytes: int = 1
    rows: int = 1
    priority: int = 5
    deadline: float = 1.0


def names(requests) -> list[int]:
    return [request.name for request in requests]


class Line:
    """Takes requests in turns, as a queue does."""

    def __init__(self, *requests: Asked) -> None:
        self.waiting = dict.fromkeys(requests)
        self.turns = Turns(requests, lambda request: request not in self.waiting)

    def add(self, request: Asked) -> None:
        self.waiting[request] = None
        self.turns.add(request)

    def take(self, count: int = 100) -> list[int]:
        taken = []
        while len(taken) < count and (request := self.turns.head()) is not None:
            self.turns.goes(request)
            del self.waiting[request]
            taken.append(request.name)
        return taken


def test_the_earliest_deadline_of_a_tenant_goes_first_and_of_equal_ones_the_first():
    assert Line(*(Asked("", n, deadline=at) for n, at in ((3, 2.0), (1, 1.0), (2, 2.0)))).take() == [1, 3, 2]


def test_turns_go_by_bytes_not_by_requests():
    big = [Asked("a", n, nbytes=10) for n in (1, 2)]
    small = [Asked("b", n, nbytes=5) for n in (11, 12, 13)]
    assert Line(*big, *small).take() == [1, 11, 12, 2, 13]


def test_a_lower_level_has_no_turn_while_a_higher_one_waits():
    shadows = [Asked("(shadow)", n, priority=9) for n in (91, 92)]
    line = Line(*shadows, *(Asked("", n) for n in (1, 2, 3)))
    assert line.take(2) == [1, 2]
    line.add(Asked("", 4))
    assert line.take() == [3, 4, 91, 92]


def test_turns_are_kept_from_one_call_to_the_next_and_who_comes_later_has_no_arrears():
    line = Line(*(Asked("a", n) for n in range(1, 7)), Asked("b", 11))
    assert (line.take(1), line.take(1), line.take(3)) == ([1], [11], [2, 3, 4])
    line.add(Asked("c", 21))
    line.add(Asked("c", 22))
    assert line.take() == [21, 5, 22, 6]


def test_what_has_gone_at_a_higher_level_is_no_arrears_at_a_lower_one():
    line = Line(*(Asked("a", n) for n in range(1, 9)), Asked("b", 91, priority=9), Asked("b", 92, priority=9))
    assert line.take(8) == list(range(1, 9))
    line.add(Asked("c", 93, priority=9))
    assert line.take() == [91, 93, 92]


def test_nothing_is_kept_of_tenants_that_do_not_wait():
    line = Line(*(Asked(f"tenant {n}", n) for n in range(1000)))
    assert len(line.take(1000)) == 1000
    assert line.turns.head() is None
    assert not line.turns._levels


def test_who_waits_no_more_is_passed_over():
    line = Line(Asked("a", 1), gone := Asked("a", 2), Asked("a", 3))
    del line.waiting[gone]
    assert line.take() == [1, 3]


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
