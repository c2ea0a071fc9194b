import numpy as np
import skops.io

from serve_app.samples.data import split
from serve_app.samples.digits_svm import train


def test_the_classifier_is_data_that_needs_no_trust(tmp_path):
    data = split("standardised digits")
    train(data, tmp_path / "m.skops")
    assert skops.io.get_untrusted_types(file=tmp_path / "m.skops") == []
    classifier = skops.io.load(tmp_path / "m.skops", trusted=[])
    assert np.mean(classifier.predict(data.held_out_inputs) == data.held_out_labels) >= 0.97
