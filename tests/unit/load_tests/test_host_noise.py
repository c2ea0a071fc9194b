import pytest
import typer
from typer.testing import CliRunner

from load_tests.host_noise import HostNoise, host_noise, main, noise_of

USUAL_S, SLOW_S = 20e-6, 120e-6


def test_even_quanta_are_no_noise():
    assert noise_of([USUAL_S] * 100) == HostNoise(0.0, 0.0)


def test_a_stretch_of_slow_quanta_is_told_with_its_share():
    noise = noise_of([USUAL_S] * 500 + [SLOW_S] * 100 + [USUAL_S] * 400)
    assert (noise.slow_share, noise.longest_ms) == (pytest.approx(12 / 30), pytest.approx(12))
    assert str(noise) == "40.0% of the time, at most 12 ms at a stretch"


@pytest.mark.parametrize(("quanta_between", "longest_ms"), [(10, 2 * 1.2 + 0.2), (50, 1.2)])
def test_slow_quanta_with_little_between_them_are_one_stretch(quanta_between, longest_ms):
    slow = [SLOW_S] * 10
    noise = noise_of([USUAL_S] * 100 + slow + [USUAL_S] * quanta_between + slow)
    assert noise.longest_ms == pytest.approx(longest_ms)


def test_a_timer_that_hits_a_quantum_now_and_then_is_no_stretch():
    noise = noise_of(([SLOW_S] + [USUAL_S] * 50) * 20)
    assert noise.longest_ms == pytest.approx(1000 * SLOW_S)
    assert noise.slow_share == pytest.approx(6 / 56)


def test_the_work_goes_on_until_the_time_is_over():
    ticks = iter([0.0, *(0.25 * tick for tick in range(1, 4)), 2.0])
    assert host_noise(1.0, lambda: next(ticks)) == HostNoise(pytest.approx(1.25 / 2), pytest.approx(1250))


def test_the_command_tells_one_sentence():
    app = typer.Typer()
    app.command()(main)
    said = CliRunner().invoke(app, ["--seconds", "0.1"])
    assert said.exit_code == 0
    assert said.output.startswith("below 0.4 of its usual speed ")
