import math

from load_tests.points import quantile


def test_a_quantile_is_the_nearest_rank():
    hundred = [float(value) for value in range(1, 101)]
    assert [quantile(hundred, share) for share in (0, 0.5, 0.99, 1)] == [1, 50, 99, 100]
    assert quantile([7.0], 0.99) == 7
    assert math.isnan(quantile([], 0.5))
