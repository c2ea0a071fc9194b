"""Spoiled perceptrons: bad in exactly the way that their file says."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest

from load_tests.releases import spoiled
from load_tests.releases.candidates import write_candidate
from load_tests.releases.spoiled import Behaviour, NeverReady, Perceptron, Raising, digest
from load_tests.releases.truth import rows


def perceptron(folder, behaviour: Behaviour) -> Perceptron:
    made = Perceptron()
    made.setup(write_candidate(folder / "version", behaviour), "cpu")
    return made


def test_a_row_has_one_digest_however_it_lies_in_memory():
    table = np.arange(128, dtype=np.float32).reshape(2, 64)
    assert digest(table[1]) == digest(np.asfortranarray(table)[1].astype(np.float64)) != digest(table[0])


def test_a_behaviour_is_read_as_it_was_written():
    behaviour = Behaviour((1, 2), (3,), 4.5)
    assert Behaviour.from_json(behaviour.to_json()) == behaviour


def test_labels_are_the_next_digit_at_wrong_rows_and_nowhere_else(tmp_path):
    given = rows()[:4]
    sound = perceptron(tmp_path / "a", Behaviour()).predict({"pixels": given})
    wrong = perceptron(tmp_path / "b", Behaviour(wrong_rows=(digest(given[2]),))).predict({"pixels": given})
    assert ((wrong["label"] - sound["label"]) % 10).tolist() == [0, 0, 1, 0]
    np.testing.assert_array_equal(wrong["probabilities"], sound["probabilities"])


def test_it_raises_for_a_batch_with_a_raising_row(tmp_path):
    given = rows()[:4]
    raising = perceptron(tmp_path, Behaviour(raising_rows=(digest(given[3]),)))
    assert len(raising.predict({"pixels": given[:3]})["label"]) == 3
    with pytest.raises(ArithmeticError):
        raising.predict({"pixels": given})


def test_it_takes_so_much_longer(tmp_path):
    slow, begin = perceptron(tmp_path, Behaviour(extra_ms=30)), time.perf_counter()
    slow.predict({"pixels": rows()[:1]})
    assert time.perf_counter() - begin >= 0.03


def test_one_cannot_be_constructed_and_one_waits(monkeypatch):
    with pytest.raises(RuntimeError, match="weights of this version were lost"):
        Raising()
    waits = []
    monkeypatch.setattr(spoiled.threading, "Event", lambda: SimpleNamespace(wait=lambda: waits.append(1)))
    NeverReady()
    assert waits == [1]
