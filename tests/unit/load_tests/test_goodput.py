"""The search against servers whose curve is known."""

import math

from load_tests.goodput import GoodputSettings, find_goodput
from load_tests.points import OpenPoint


def point(offered: float, goodput: float) -> OpenPoint:
    return OpenPoint(offered, goodput, goodput / offered, 1.0, 2.0, 0.0, 0.0, 0.0, 0, 0.0)


def holds_to(limit: float, tried: list[float]):
    """In time up to the limit; beyond it the limit's goodput is kept."""

    def offer(rate: float) -> OpenPoint:
        tried.append(rate)
        return point(rate, min(rate, limit))

    return offer


def test_the_search_steps_up_until_a_rate_fails_then_halves_the_bracket():
    tried: list[float] = []
    settings = GoodputSettings(max_rates=4, factor=2, precision=1.01, multiples=())
    found = find_goodput(holds_to(350, tried), 100, settings)
    # 100 holds, x2; 200 holds, x4; 800 fails; sqrt(200 * 800) = 400 fails; the search is over and 2 x 200 is run
    assert tried == [100, 200, 800, 400, 400]
    assert (found.rate_per_s, found.is_bound, found.peak_per_s) == (200, False, 350)
    assert found.overload == point(400, 350)
    assert found.overload_share == 1.0
    assert [p.offered_per_s for p in found.points] == [100, 200, 400, 400, 800]


def test_the_search_steps_down_from_a_guess_that_was_too_high():
    tried: list[float] = []
    settings = GoodputSettings(max_rates=8, factor=1.25, precision=1.06, multiples=())
    found = find_goodput(holds_to(1000, tried), 3000, settings)
    assert tried[:3] == [3000, 2400, 1536]  # /1.25, then /1.25^2
    assert 1000 / 1.06 < found.rate_per_s <= 1000


def test_the_search_ends_once_it_is_precise_enough():
    tried: list[float] = []
    find_goodput(holds_to(100, tried), 100, GoodputSettings(max_rates=50, factor=1.04, precision=1.05, multiples=()))
    assert tried == [100, 104, 200]


def test_a_rate_that_never_failed_is_a_bound():
    found = find_goodput(holds_to(math.inf, []), 100, GoodputSettings(max_rates=2, factor=2, multiples=()))
    assert (found.rate_per_s, found.is_bound) == (200, True)


def test_a_server_that_holds_no_rate_has_no_overload():
    found = find_goodput(lambda rate: point(rate, 0), 100, GoodputSettings(max_rates=3))
    assert (found.rate_per_s, found.is_bound, found.overload, len(found.points)) == (0, False, None, 3)
    assert math.isnan(found.overload_share)


def test_a_collapse_shows_as_a_small_share_of_the_peak():
    found = find_goodput(
        lambda rate: point(rate, rate if rate <= 100 else 25), 100, GoodputSettings(max_rates=1, multiples=(0.5,))
    )
    assert (found.peak_per_s, found.overload_share) == (100, 0.25)
    assert [p.offered_per_s for p in found.points] == [50, 100, 200]


def test_of_several_runs_at_a_rate_most_decide_and_no_more_are_done_than_that_takes():
    tried: list[float] = []
    goodputs = {100: [100, 0, 100], 200: [0, 0], 141: [0, 141, 0], 119: [119, 119]}  # of the halved bracket as well

    def offer(rate: float) -> OpenPoint:
        tried.append(round(rate))
        return point(rate, goodputs.get(round(rate), beyond).pop(0))

    beyond = [50, 238, 60]  # at twice what held, one of the three by chance
    settings = GoodputSettings(runs=3, max_rates=4, factor=2, precision=1.01, multiples=())
    found = find_goodput(offer, 100, settings)
    assert tried == [100] * 3 + [200] * 2 + [141] * 3 + [119] * 2 + [238] * 3
    assert round(found.rate_per_s) == 119
    assert found.overload is not None
    assert found.overload.goodput_per_s == 60
    assert len(found.points) == len(tried)
