import numpy as np
from sklearn.datasets import load_digits, load_wine

from serve_app.samples.data import PIXEL_MEAN, PIXEL_STD, held_out, split


def test_a_quarter_of_each_class_is_held_out():
    for name, rows, shape in (("digits", 450, 64), ("wine", 45, 13)):
        inputs, labels = held_out(name)
        assert inputs.shape == (rows, shape)
        assert (inputs.dtype, labels.dtype) == (np.float32, np.int64)
        whole = load_digits() if name == "digits" else load_wine()
        shares = np.bincount(labels) / np.bincount(whole.target)
        assert np.allclose(shares, 0.25, atol=0.02)


def test_the_split_is_the_same_every_time_and_its_parts_have_nothing_in_common():
    first, again = split("digits"), split("digits")
    assert np.array_equal(first.held_out_inputs, again.held_out_inputs)
    training = {row.tobytes() for row in first.train_inputs}
    assert not any(row.tobytes() in training for row in first.held_out_inputs)
    assert len(first.train_inputs) + len(first.held_out_inputs) == 1797


def test_pixels_keep_the_data_set_s_own_values():
    inputs, _ = held_out("digits")
    assert (inputs.min(), inputs.max()) == (0, 16)


def test_standardised_digits_are_the_same_rows_with_mean_0_and_deviation_1():
    plain, standardised = split("digits"), split("standardised digits")
    back = standardised.held_out_inputs * np.float32(PIXEL_STD) + np.float32(PIXEL_MEAN)
    np.testing.assert_allclose(back, plain.held_out_inputs, atol=1e-5)
    assert np.array_equal(plain.train_labels, standardised.train_labels)
    assert abs(standardised.train_inputs.mean()) < 0.001
    assert abs(standardised.train_inputs.std() - 1) < 0.001
    assert standardised.train_inputs.dtype == np.float32
