from onnx import TensorProto, helper
from support.versions import doubling, onnx_model

from serve_app.runtimes.onnx_session import BoundSessions, cuda_options, has_convolutions


class Session:
    def io_binding(self):
        return f"binding of {id(self)}"


def convolution() -> bytes:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 1, 4, 4]) for name in "xy")
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1, 1, 1, 1], [2.0])
    graph = helper.make_graph([helper.make_node("Conv", ["x", "w"], ["y"])], "graph", [x], [y], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_convolutions_are_found_in_the_file(tmp_path):
    for name, content in (
        ("conv", convolution()),
        ("transposed", convolution().replace(b"\x22\x04Conv", b"\x22\x0dConvTranspose")),
    ):
        (tmp_path / name).write_bytes(content)
        assert has_convolutions(tmp_path / name)
    (tmp_path / "other").write_bytes(onnx_model([helper.make_node("Add", ["Conv", "Conv"], ["y"])], *CONV_NAMED))
    assert not has_convolutions(tmp_path / "other")
    (tmp_path / "doubling").write_bytes(doubling())
    assert not has_convolutions(tmp_path / "doubling")


CONV_NAMED = tuple([helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 2])] for name in ("Conv", "y"))


def test_every_shape_keeps_its_session_while_there_are_enough():
    sessions = BoundSessions(Session())
    sessions.add(Session())
    one, two = ((1, 3),), ((2, 3),)
    first, second = sessions.of(one), sessions.of(two)
    assert first.session is not second.session
    assert [sessions.of(shapes) for shapes in (one, two, one)] == [first, second, first]
    assert len(sessions) == 2


def test_the_one_not_used_for_longest_changes_its_shape():
    sessions = BoundSessions(Session())
    sessions.add(Session())
    one, two, three = ((1, 3),), ((2, 3),), ((3, 3),)
    first, second = sessions.of(one), sessions.of(two)
    sessions.of(one)
    assert sessions.of(three) is second
    assert sessions.of(one) is first
    assert sessions.of(two) is second


def test_float32_is_rounded_where_that_was_asked_for():
    assert [cuda_options(precision)["use_tf32"] for precision in ("fp32", "tf32")] == [0, 1]
    assert cuda_options("fp32")["cudnn_conv_algo_search"] == "HEURISTIC"
