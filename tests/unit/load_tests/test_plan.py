from load_tests.goodput import GoodputSettings
from load_tests.plan import FULL, QUICK, Plan


def test_a_search_takes_its_runs_and_the_overload():
    assert QUICK.goodput_s == (6 + 1) * (2 + 1)
    assert Plan().goodput_s == (8 + 4) * (4 + 1)
    assert Plan(goodput=GoodputSettings(runs=3)).goodput_s == ((8 + 1) * 3 + 3) * (4 + 1)


def test_the_quick_plan_has_a_limit_and_the_full_one_at_least_three_rounds():
    assert 0 < QUICK.limit_s < 300
    assert (QUICK.rounds, FULL.limit_s) == (1, 0)
    assert FULL.rounds >= 3
