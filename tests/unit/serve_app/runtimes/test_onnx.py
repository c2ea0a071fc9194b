import weakref
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper
from support.denormals import AS_ZERO, doubled, doubled_rows, many
from support.versions import doubling, identity, onnx_document, onnx_model, write_version

from serve_app.config.manifest import Manifest
from serve_app.config.release import RuntimeConfig
from serve_app.config.tensors import TensorConfig
from serve_app.datatypes import Datatype
from serve_app.errors import AcceleratorMissing, ConfigError, InvalidInput, ManifestError
from serve_app.runtimes.base import RuntimeSource, SizedRuntime, StagingRuntime
from serve_app.runtimes.onnx import MOST_SESSIONS, OnnxRuntime, infer, infer_fixed_rows

VALUES = [[0.0, 1.5], [-2.0, 4.0], [1.0, 0.0]]
BOTH_WAYS = pytest.mark.parametrize("bind_io", [False, True])


def source(directory, artifact, datatype="FP32", **changes) -> RuntimeSource:
    tensors = {kind: [{"name": name, "datatype": datatype, "shape": [-1, 2]}] for kind, name in PAIRS}
    write_version(directory, artifact, tensors | changes)
    manifest = Manifest.model_validate(onnx_document(artifact) | tensors | changes)
    return RuntimeSource(manifest, directory)


PAIRS = (("inputs", "x"), ("outputs", "y"))
TYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
}


@BOTH_WAYS
def test_rows_are_doubled(tmp_path, bind_io):
    runtime = OnnxRuntime(source(tmp_path, doubling()), bind_io=bind_io)
    answer = runtime.predict({"x": np.array(VALUES, np.float32)})
    assert answer["y"].tolist() == [[0.0, 3.0], [-4.0, 8.0], [2.0, 0.0]]
    assert runtime.device == "cpu"


@BOTH_WAYS
@pytest.mark.parametrize("name", list(TYPES))
def test_every_datatype_passes_unchanged(tmp_path, name, bind_io):
    bind = None if name == "BF16" else bind_io  # None: the runtime has to see by itself that BF16 needs a binding
    runtime = OnnxRuntime(source(tmp_path, identity(TYPES[name]), name), bind_io=bind)
    x = np.abs(np.array(VALUES)).astype(Datatype(name).dtype)
    y = runtime.predict({"x": x})["y"]
    assert y.dtype == Datatype(name).dtype
    assert y.tolist() == x.tolist()


@BOTH_WAYS
@pytest.mark.parametrize("threads", [1, 2])
def test_denormal_numbers_are_zero_in_every_thread_because_they_take_a_hundred_times_as_long(
    tmp_path, bind_io, threads
):
    runtime = OnnxRuntime(replace(source(tmp_path, doubling()), config=RuntimeConfig(threads=threads)), bind_io=bind_io)
    assert np.array_equal(runtime.predict({"x": many()})["y"], doubled_rows(AS_ZERO))
    assert doubled() > 0  # the caller's own arithmetic is what it was


@pytest.mark.parametrize("threads", [1, 2])
def test_denormal_numbers_are_kept_for_a_model_that_needs_them(tmp_path, threads):
    config = RuntimeConfig(threads=threads, denormals_as_zero=False)
    runtime = OnnxRuntime(replace(source(tmp_path, doubling()), config=config))
    assert np.array_equal(runtime.predict({"x": many()})["y"], doubled_rows(doubled()))


def test_an_answer_in_bf16_outlives_the_session(tmp_path):
    x = np.arange(2000).reshape(-1, 2).astype(ml_dtypes.bfloat16)
    runtime = OnnxRuntime(source(tmp_path, identity(TensorProto.BFLOAT16), "BF16"))
    first = runtime.predict({"x": x})["y"]
    runtime.predict({"x": np.zeros_like(x)})
    del runtime
    assert np.array_equal(first, x)


@BOTH_WAYS
def test_bytes_are_texts_of_any_length(tmp_path, bind_io):
    runtime = OnnxRuntime(source(tmp_path, identity(TensorProto.STRING), "BYTES"), bind_io=bind_io)
    x = np.array([[b"", "grün".encode()], [b"a\0b", b"long" * 1000]], dtype=object)
    y = runtime.predict({"x": x})["y"]
    assert y.dtype == object
    assert y.tolist() == x.tolist()
    with pytest.raises(InvalidInput, match="not UTF-8"):
        runtime.predict({"x": np.array([[b"\xff", b""]], dtype=object)})


def test_names_of_the_graph_can_differ(tmp_path):
    inputs = [{"name": "pixels", "source": "x", "datatype": "FP32", "shape": [-1, 2]}]
    outputs = [{"name": "doubled", "source": "y", "datatype": "FP32", "shape": [-1, 2]}]
    runtime = OnnxRuntime(source(tmp_path, doubling(), inputs=inputs, outputs=outputs))
    assert runtime.predict({"pixels": np.ones((1, 2), np.float32)})["doubled"].tolist() == [[2.0, 2.0]]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"inputs": [{"name": "z", "datatype": "FP32", "shape": [-1, 2]}]}, "the graph has no input 'z'"),
        ({"outputs": [{"name": "z", "datatype": "FP32", "shape": [-1, 2]}]}, "the graph has no output 'z'"),
        ({"inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}]}, r"is tensor\(float\), not FP64"),
        ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]}, r"not \[-1, 3\]"),
        ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}]}, r"not \[-1\]"),
    ],
)
def test_a_signature_that_is_not_the_graph_s_is_refused(tmp_path, changes, reason):
    with pytest.raises(ManifestError, match=reason):
        OnnxRuntime(source(tmp_path, doubling(), **changes))


def test_an_input_that_the_manifest_leaves_out_is_named(tmp_path):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("x", "z", "y")]
    artifact = onnx_model([helper.make_node("Add", ["x", "z"], ["y"])], values[:2], values[2:])
    with pytest.raises(ManifestError, match="the graph's input 'z' is not in the manifest"):
        OnnxRuntime(source(tmp_path, artifact))


@pytest.mark.parametrize(("axis", "rows"), [("rows", None), (1, 1), (4, 4)])
def test_a_fixed_batch_axis_is_told(tmp_path, axis, rows):
    runtime = OnnxRuntime(source(tmp_path, identity(TensorProto.FLOAT, [axis, 2])))
    assert runtime.fixed_rows == rows
    x = np.ones((rows or 3, 2), np.float32)
    assert runtime.predict({"x": x})["y"].tolist() == x.tolist()


def test_a_second_answer_leaves_the_first_alone_though_the_binding_is_the_same(tmp_path):
    runtime = OnnxRuntime(source(tmp_path, doubling()), bind_io=True)
    first = runtime.predict({"x": np.ones((2, 2), np.float32)})["y"]
    second = runtime.predict({"x": np.zeros((2, 2), np.float32)})["y"]
    third = runtime.predict({"x": np.full((1, 2), 3, np.float32)})["y"]
    assert first.tolist() == [[2, 2], [2, 2]]
    assert second.tolist() == [[0, 0], [0, 0]]
    assert third.tolist() == [[6, 6]]


def test_what_was_bound_is_let_go(tmp_path):
    runtime = OnnxRuntime(source(tmp_path, doubling()), bind_io=True)
    x = np.ones((2, 2), np.float32)
    x.setflags(write=False)
    memory = weakref.ref(x)
    assert runtime.predict({"x": x})["y"].tolist() == [[2, 2]] * 2
    del x
    assert memory() is None


def test_sizes_that_a_runtime_is_ready_for_have_sessions_of_their_own(tmp_path):
    runtime = OnnxRuntime(source(tmp_path, doubling()), bind_io=True)
    runtime.prepare(2)
    for rows in (1, 2, 3, 2, 1):
        assert runtime.predict({"x": np.full((rows, 2), rows, np.float32)})["y"].tolist() == [[2 * rows] * 2] * rows
    runtime.prepare(10_000)
    assert len(runtime._bound) == MOST_SESSIONS
    assert not runtime.wants_few_sizes


def test_where_no_more_sessions_can_be_opened_sizes_share_those_there_are(tmp_path, caplog):
    runtime = OnnxRuntime(source(tmp_path, doubling()), bind_io=True)
    (tmp_path / "model.onnx").unlink()
    runtime.prepare(2)
    assert "2 sizes share 1 sessions" in caplog.text
    assert runtime.predict({"x": np.ones((1, 2), np.float32)})["y"].tolist() == [[2, 2]]


def test_a_batch_for_the_cpu_may_lie_anywhere(tmp_path):
    runtime = OnnxRuntime(source(tmp_path, doubling()))
    assert isinstance(runtime, StagingRuntime)
    assert isinstance(runtime, SizedRuntime)
    assert runtime.empty((50_000, 2), np.dtype(np.float32)).shape == (50_000, 2)


def test_what_is_no_onnx_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="ONNX Runtime cannot load it"):
        OnnxRuntime(source(tmp_path, b"no protobuf"))


def test_bf16_and_bytes_do_not_go_together(tmp_path):
    artifact = onnx_model(
        [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["s"], ["t"])],
        [
            helper.make_tensor_value_info(n, t, ["n"])
            for n, t in (("x", TensorProto.BFLOAT16), ("s", TensorProto.STRING))
        ],
        [
            helper.make_tensor_value_info(n, t, ["n"])
            for n, t in (("y", TensorProto.BFLOAT16), ("t", TensorProto.STRING))
        ],
    )
    signature = [{"name": "x", "datatype": "BF16", "shape": [-1]}, {"name": "s", "datatype": "BYTES", "shape": [-1]}]
    outputs = [dict(tensor, name=name) for tensor, name in zip(signature, "yt", strict=True)]
    with pytest.raises(ConfigError, match="BF16 and BYTES"):
        OnnxRuntime(source(tmp_path, artifact, inputs=signature, outputs=outputs))


def test_cuda_is_refused_where_the_session_has_none(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    cpu = source(tmp_path, doubling())
    with pytest.raises(AcceleratorMissing):
        OnnxRuntime(RuntimeSource(cpu.manifest, cpu.directory, "cuda"))


def test_threads_reach_the_session(tmp_path):
    cpu = source(tmp_path, doubling())
    runtime = OnnxRuntime(RuntimeSource(cpu.manifest, cpu.directory, config=RuntimeConfig(threads=2)))
    options = runtime._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"
    runtime = OnnxRuntime(RuntimeSource(cpu.manifest, cpu.directory, cpus=3.5))
    assert runtime._session.get_session_options().intra_op_num_threads == 3


def test_the_graph_tells_its_signature(tmp_path):
    (tmp_path / "m.onnx").write_bytes(identity(TensorProto.FLOAT16, ["n", 3, "width"]))
    signature = infer(tmp_path / "m.onnx")
    assert [(t.name, t.datatype, t.shape) for t in signature.inputs] == [("x", "FP16", (-1, 3, -1))]
    assert [(t.name, t.datatype, t.shape) for t in signature.outputs] == [("y", "FP16", (-1, 3, -1))]
    assert signature.fixed_rows is None


def test_a_fixed_batch_axis_is_free_in_the_signature_and_told_beside_it(tmp_path):
    (tmp_path / "m.onnx").write_bytes(identity(TensorProto.FLOAT, [4, 3]))
    signature = infer(tmp_path / "m.onnx")
    assert (signature.inputs[0].shape, signature.outputs[0].shape, signature.fixed_rows) == ((-1, 3), (-1, 3), 4)


def test_only_the_tensors_named_fix_the_batch_axis(tmp_path):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])
    total = helper.make_tensor_value_info("total", TensorProto.FLOAT, [1, 1])
    nodes = [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("ReduceSum", ["x"], ["total"], keepdims=1)]
    (tmp_path / "m.onnx").write_bytes(onnx_model(nodes, [x], [y, total]))
    named = {name: TensorConfig(name=name, datatype="FP32", shape=(-1, 2)) for name in ("x", "y", "total")}
    assert infer_fixed_rows(tmp_path / "m.onnx", [named["x"], named["y"]]) is None
    assert infer_fixed_rows(tmp_path / "m.onnx", list(named.values())) == 1


def test_what_v2_has_no_word_for_has_no_signature(tmp_path):
    scalars = [helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in "xy"]
    node = helper.make_node("Identity", ["x"], ["y"])
    (tmp_path / "scalar.onnx").write_bytes(onnx_model([node], scalars[:1], scalars[1:]))
    with pytest.raises(ManifestError, match="tensor 'x' has no axes, and axis 0 is the batch axis"):
        infer(tmp_path / "scalar.onnx")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    y = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, ["n"])
    (tmp_path / "list.onnx").write_bytes(onnx_model([helper.make_node("SequenceConstruct", ["x"], ["y"])], [x], [y]))
    with pytest.raises(ManifestError, match=r"'y' is seq\(tensor\(float\)\), which V2 has no datatype for"):
        infer(tmp_path / "list.onnx")
