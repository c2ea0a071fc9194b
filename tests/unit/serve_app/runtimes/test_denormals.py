import platform
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.denormals import AS_ZERO, doubled

from serve_app.runtimes import denormals
from serve_app.runtimes.denormals import IS_KNOWN, arithmetic

LEAST_NORMAL = np.finfo(np.float32).tiny
flushed = arithmetic(denormals_as_zero=True)


def test_the_environment_of_usual_servers_is_known():
    is_usual = platform.system() == "Linux" and platform.machine() in ("x86_64", "aarch64")
    assert is_usual == IS_KNOWN
    assert (AS_ZERO == 0) == IS_KNOWN


def test_denormal_numbers_are_zero_meanwhile_and_themselves_afterwards():
    with flushed():
        assert doubled() == AS_ZERO
        halved, twice = (np.array([LEAST_NORMAL]) * np.array([factor], np.float32) for factor in (0.5, 2))
    assert (halved[0] == 0) == IS_KNOWN
    assert twice[0] == 2 * LEAST_NORMAL
    assert doubled() > 0


def test_what_is_raised_meanwhile_leaves_nothing_changed():
    with pytest.raises(ValueError, match="inside"), flushed():
        raise ValueError("inside")
    assert doubled() > 0


def test_within_itself_it_lasts_until_the_outer_one_ends():
    with flushed():
        with flushed():
            assert doubled() == AS_ZERO
        assert doubled() == AS_ZERO
    assert doubled() > 0


def test_threads_that_begin_meanwhile_keep_to_it_and_others_do_not():
    with ThreadPoolExecutor(1) as before, ThreadPoolExecutor(1) as meanwhile:
        before.submit(doubled).result()
        with flushed():
            assert meanwhile.submit(doubled).result() == AS_ZERO
            assert before.submit(doubled).result() > 0
        assert meanwhile.submit(doubled).result() == AS_ZERO


def test_it_does_nothing_where_the_environment_is_not_known_or_it_is_not_wanted(monkeypatch):
    with arithmetic(denormals_as_zero=False)():
        assert doubled() > 0
    monkeypatch.setattr(denormals, "IS_KNOWN", False)
    with arithmetic(denormals_as_zero=True)():
        assert doubled() > 0
