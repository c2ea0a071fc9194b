import numpy as np
import pytest

from serve_app.config.tensors import TensorConfig
from serve_app.errors import InvalidInput
from serve_app.runtimes.answer import by_name, bytes_of, texts_of

TWO = (
    TensorConfig(name="a", datatype="FP32", shape=(-1,), source="first"),
    TensorConfig(name="b", datatype="FP32", shape=(-1,)),
)


@pytest.mark.parametrize("answer", [(1, 2), [1, 2], {"b": 2, "a": 1}, {"b": 2, "first": 1, "more": 3}])
def test_outputs_are_named_in_the_signature_s_order(answer):
    named = by_name(answer, TWO)
    assert list(named.items()) == [("a", 1), ("b", 2)]


def test_the_only_output_may_come_bare():
    assert by_name(7, TWO[1:]) == {"b": 7}


@pytest.mark.parametrize(
    ("answer", "reason"), [((1,), "has 1 outputs, the signature 2"), (5, "has 1 outputs"), ({"a": 1}, "no output 'b'")]
)
def test_an_answer_that_does_not_fit_is_refused(answer, reason):
    with pytest.raises(ValueError, match=reason):
        by_name(answer, TWO)


def test_texts_and_bytes_are_each_other_s_way_back():
    array = np.array([["a", "grün"], ["", "\0x"]], dtype=object)
    encoded = bytes_of(array)
    assert encoded.tolist() == [[b"a", b"gr\xc3\xbcn"], [b"", b"\0x"]]
    assert texts_of(encoded, "x").tolist() == array.tolist()
    assert bytes_of(np.array(["ab", "c"])).tolist() == [b"ab", b"c"]


def test_what_is_no_text_names_its_input():
    with pytest.raises(InvalidInput, match="input 'x' has an element that is not UTF-8"):
        texts_of(np.array([b"\xff"], dtype=object), "x")
