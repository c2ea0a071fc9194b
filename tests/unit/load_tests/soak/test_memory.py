from load_tests.soak.memory import Growth, MemorySample, growth_by_process, growth_of


def samples(*sizes: int) -> list[MemorySample]:
    """One each ten seconds."""
    return [MemorySample(10.0 * number, {"1 gateway": size, "2 model": 50}) for number, size in enumerate(sizes)]


def test_growth_is_from_the_first_to_the_last_third_after_the_warm_up():
    # 11 samples over 100 s: those before 20 s are the warm-up; of the nine left, the medians of three and three
    grown = growth_of(samples(1, 1, 100, 150, 200, 0, 0, 0, 210, 250, 990))
    assert grown == Growth("all", 200, 300)
    assert grown.share == 0.5


def test_one_outlier_does_not_count():
    flat = growth_of(samples(*[100] * 9, 9999, 100))
    assert flat is not None
    assert flat.share == 0


def test_the_process_that_grew_most_comes_first():
    found = growth_by_process(samples(*[100] * 8, *[160] * 3))
    assert found == [Growth("1 gateway", 100, 160), Growth("2 model", 50, 50)]


def test_a_process_that_came_later_grew_from_nothing():
    later = [MemorySample(float(number), {"3 new": 10} if number > 5 else {}) for number in range(10)]
    assert growth_by_process(later)[0].share == float("inf")


def test_few_samples_tell_nothing():
    assert growth_of(samples(1, 2, 3, 4, 5)) is None
    assert growth_of([]) is None
