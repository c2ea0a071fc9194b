"""What versions must answer, held against the models themselves."""

from __future__ import annotations

import numpy as np
import orjson

from load_tests.models import ROOT, session
from load_tests.releases import files, truth


def test_labels_are_those_of_the_bare_model():
    bare = session(ROOT / "models/digits/v1/digits.onnx").run(["label"], {"pixels": truth.rows()})[0]
    np.testing.assert_array_equal(truth.labels_of(files.digits("v1")), bare)


def test_there_is_a_body_of_one_row_for_each_held_out_row():
    bodies = truth.bodies()
    (tensor,) = orjson.loads(bodies[7])["inputs"]
    assert (len(bodies), tensor["shape"]) == (len(truth.rows()), [1, 64])
    np.testing.assert_array_equal(np.array(tensor["data"], np.float32), truth.rows()[7])
