"""Folders of candidates load as any version does, except those that must not."""

from __future__ import annotations

import numpy as np
import pytest

from load_tests.releases import candidates, files
from load_tests.releases.spoiled import Behaviour, digest
from load_tests.releases.truth import labels_of, rows
from serve_app.dataflow.model import load_model, release_args


def test_the_share_of_spoiled_rows_is_exact_seeded_and_without_golden_rows():
    golden = rows()[:3]
    chosen = candidates.spoil(rows(), 0.05, golden)
    assert (len(chosen), len(set(chosen))) == (22, 22)
    assert chosen == candidates.spoil(rows(), 0.05, golden)
    assert not set(chosen) & {digest(row) for row in golden}
    assert set(chosen) <= {digest(row) for row in rows()}


def test_a_spoiled_candidate_passes_its_checks_and_says_what_its_behaviour_says(tmp_path):
    behaviour = Behaviour(wrong_rows=candidates.spoil(rows(), 0.05, candidates.golden_rows()))
    folder = candidates.write_candidate(tmp_path / "wrong", behaviour)
    said = labels_of(files.release("digits", "wrong", folder, "Perceptron"))
    sound = labels_of(files.digits("v1"))
    assert (said != sound).sum() == 22
    np.testing.assert_array_equal(said, behaviour.labels(rows(), sound))


def test_without_golden_answers_one_may_be_bad_at_any_row(tmp_path):
    behaviour = Behaviour(raising_rows=(digest(rows()[0]),))
    folder = candidates.write_candidate(tmp_path / "raising", behaviour, is_checked=False)
    load_model(release_args(**files.release("digits", "raising", folder, "Perceptron")["args"]))


def test_a_sound_one_is_v1_under_another_tag(tmp_path):
    folder = candidates.write_sound(tmp_path / "sound")
    said = labels_of(files.release("digits", "sound", folder))
    np.testing.assert_array_equal(said, labels_of(files.digits("v1")))


def test_one_with_a_wrong_golden_answer_cannot_be_loaded(tmp_path):
    folder = candidates.write_wrong_golden(tmp_path / "golden")
    args = release_args(**files.release("digits", "golden", folder)["args"])
    with pytest.raises(Exception, match="golden"):
        load_model(args)
