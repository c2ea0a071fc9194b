from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from serve_app.runtimes import denormals
from serve_app.runtimes.denormals import IS_KNOWN, DenormalsAsZero, arithmetic

DENORMAL, LEAST_NORMAL = np.float32([1e-40]), np.finfo(np.float32).tiny
FLUSHES = pytest.mark.skipif(not IS_KNOWN, reason="this machine's floating-point environment is not known")


def doubled() -> float:
    """Twice a denormal number; as a computation, which a constant would not be."""
    return float((DENORMAL + DENORMAL)[0])


@FLUSHES
def test_denormal_numbers_are_zero_meanwhile_and_themselves_afterwards():
    with DenormalsAsZero():
        assert doubled() == 0
        assert (np.float32([LEAST_NORMAL]) / np.float32([2]))[0] == 0
        assert (np.float32([LEAST_NORMAL]) * np.float32([2]))[0] == 2 * LEAST_NORMAL
    assert doubled() > 0


@FLUSHES
def test_what_is_raised_meanwhile_leaves_nothing_changed():
    with pytest.raises(ValueError, match="inside"), DenormalsAsZero():
        raise ValueError("inside")
    assert doubled() > 0


@FLUSHES
def test_within_itself_it_lasts_until_the_outer_one_ends():
    with DenormalsAsZero():
        with DenormalsAsZero():
            assert doubled() == 0
        assert doubled() == 0
    assert doubled() > 0


@FLUSHES
def test_threads_that_begin_meanwhile_keep_to_it_and_others_do_not():
    with ThreadPoolExecutor(1) as before, ThreadPoolExecutor(1) as meanwhile:
        before.submit(doubled).result()
        with DenormalsAsZero():
            assert meanwhile.submit(doubled).result() == 0
            assert before.submit(doubled).result() > 0
        assert meanwhile.submit(doubled).result() == 0


def test_it_does_nothing_where_the_environment_is_not_known_or_it_is_not_wanted(monkeypatch):
    with arithmetic(denormals_as_zero=False)():
        assert doubled() > 0
    monkeypatch.setattr(denormals, "IS_KNOWN", False)
    with arithmetic(denormals_as_zero=True)():
        assert doubled() > 0
