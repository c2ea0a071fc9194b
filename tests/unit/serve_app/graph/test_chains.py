"""Chains: what fits behind what, what they give, and whose row is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from serve_app.batching.executing import Executing, Visit
from serve_app.config.graph import TransformNode
from serve_app.datatypes import Datatype
from serve_app.errors import ConfigError, InvalidInput
from serve_app.graph.chains import Chain, UnfitStep
from serve_app.graph.steps import Run, at_once
from serve_app.types import BlockEntry, TensorSpec

SCORES = TensorSpec("scores", Datatype.FP32, (-1, 3), labels=("a", "b", "c"))
PHOTO = TensorSpec("photo", Datatype.BYTES, (-1,))
DECODE = {"op": "decode_image", "height": 1, "width": 1, "channels": 1}


def chain(*steps, specs=(SCORES,), inputs="x") -> Chain:
    node = {"kind": "transform", "name": "n", "input": inputs, "steps": list(steps)}
    return Chain(TransformNode.model_validate(node), specs)


def executed(chain, run=None, **values):
    run = run or Run(Executing())
    return at_once(chain.execute(values, run, Visit("n", 1, None, 0.0)))


def png() -> bytes:
    stream = io.BytesIO()
    Image.new("L", (1, 1), 7).save(stream, "PNG")
    return stream.getvalue()


def test_one_output_is_y_and_several_keep_their_names():
    x = np.log(np.float32([[1, 2, 5]]))
    one, several = chain({"op": "softmax"}), chain({"op": "softmax"}, {"op": "top_k", "k": 2})
    assert [spec.name for spec in one.outputs] == ["y"]
    np.testing.assert_allclose(executed(one, x=x)["y"], [[0.125, 0.25, 0.625]], rtol=1e-6)
    answer = executed(several, x=x)
    assert [spec.name for spec in several.outputs] == list(answer) == ["indices", "scores", "labels"]
    assert answer["labels"].tolist() == [[b"c", b"b"]]


def test_several_inputs_go_into_the_first_operation():
    both = chain({"op": "concat"}, {"op": "argmax"}, specs=(SCORES, SCORES), inputs=["x", "z"])
    assert executed(both, x=np.float32([[1, 2, 3]]), z=np.float32([[9, 2, 3]]))["y"].tolist() == [3]


@pytest.mark.parametrize(
    ("steps", "specs", "step", "says"),
    [
        (({"op": "softmax"},), (SCORES, SCORES), 0, "softmax takes one input, not 2"),
        (({"op": "softmax"}, {"op": "concat"}), (SCORES,), 1, "concat takes several inputs, not one"),
        (
            ({"op": "top_k", "k": 1}, {"op": "softmax"}),
            (SCORES,),
            0,
            r"top_k gives several tensors \(indices, scores, labels\), so it must be the last step",
        ),
        ((DECODE, DECODE), (PHOTO,), 1, "decode_image takes an image a row"),
        ((DECODE, {"op": "resize", "height": 2, "width": 2}, {"op": "softmax"}), (PHOTO,), 2, "softmax takes floats"),
    ],
)
def test_a_step_that_does_not_fit_is_named(steps, specs, step, says):
    inputs = "x" if len(specs) == 1 else ["x", "z"]
    with pytest.raises(UnfitStep, match=says) as unfit:
        chain(*steps, specs=specs, inputs=inputs)
    assert unfit.value.step == step


PHOTOS = np.array([png(), png(), b"none", png()], object)
OWNERS = (BlockEntry(1, "r1"), 1), (BlockEntry(3, "r2"), 3)


@pytest.mark.parametrize(
    ("owners", "rows", "which"),
    [
        ((), None, "row 2"),
        (OWNERS, None, "row 1"),
        (((BlockEntry(1, "r1"), 1), (BlockEntry(9, "long"), 3)), None, "a row"),
        (OWNERS, [0, 2, 3], "row 1"),
    ],
    ids=["of nobody", "of its request", "of a request in parts", "in a branch"],
)
def test_a_row_that_is_refused_is_counted_in_its_own_request(owners, rows, which):
    run = Run(Executing(owners), None if rows is None else np.array(rows))
    given = PHOTOS if rows is None else PHOTOS[rows]
    with pytest.raises(InvalidInput, match=f"^{which} of 'photo' is no whole image in JPEG or PNG, 4 bytes"):
        executed(chain(DECODE, specs=(PHOTO,), inputs="photo"), run, photo=given)


def test_on_replicas_of_its_own_it_takes_its_inputs_by_the_nodes_names():
    both = chain({"op": "concat"}, specs=(SCORES, SCORES), inputs=["x", "z.y"])
    assert both.references == ("x", "z.y")
    given = {"x0": np.float32([[1, 2, 3]]), "x1": np.float32([[4, 5, 6]])}
    assert both.predict(given)["y"].tolist() == [[1, 2, 3, 4, 5, 6]]
    with pytest.raises(InvalidInput, match=r"^row 2 of 'photo' is no whole image"):
        chain(DECODE, specs=(PHOTO,), inputs="photo").predict({"x": PHOTOS})


def test_it_is_loaded_once_and_says_what_it_lacks():
    function = {"op": "function", "function": "nowhere_at_all:f", "datatype": "FP32", "shape": [-1]}
    with pytest.raises(ConfigError, match="node 'n': function 'nowhere_at_all:f' cannot be imported"):
        chain(function).load()
    decode = chain(DECODE, specs=(PHOTO,))
    assert decode.load() is decode.load()
