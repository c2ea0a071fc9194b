import numpy as np
import pytest
import torch
from support.torch_models import Dictionary, Doubling, Identity, save_export, source_of, tensors

from serve_app.errors import ManifestError
from serve_app.runtimes.torch_export import infer, infer_fixed_rows, load

X, Y = tensors("x FP32 -1,2"), tensors("twice FP32 -1,2", "total INT64 -1")
EXAMPLE = torch.ones(2, 2)


def test_a_program_answers_any_number_of_rows(tmp_path):
    runtime = load(source_of(save_export(Doubling(), tmp_path / "m.pt2", EXAMPLE), "torch_export", X, Y))
    for rows in (1, 2, 5):
        answer = runtime.predict({"x": np.full((rows, 2), 3, np.float32)})
        assert answer["twice"].tolist() == [[6.0, 6.0]] * rows
        assert answer["total"].tolist() == [6] * rows


def test_keyword_inputs_and_dict_outputs_go_by_name(tmp_path):
    file = save_export(Dictionary(), tmp_path / "m.pt2", EXAMPLE, scale=2 * EXAMPLE)
    inputs, outputs = tensors("x FP32 -1,2", "scale FP32 -1,2"), tensors("difference FP32 -1,2", "product FP32 -1,2")
    runtime = load(source_of(file, "torch_export", inputs, outputs))
    answer = runtime.predict({"x": np.array([[6, 8]], np.float32), "scale": np.array([[2, 3]], np.float32)})
    assert {name: array.tolist() for name, array in answer.items()} == {
        "difference": [[4.0, 5.0]],
        "product": [[12.0, 24.0]],
    }


def test_the_graph_tells_its_signature(tmp_path):
    signature = infer(save_export(Doubling(), tmp_path / "a.pt2", EXAMPLE))
    assert [(t.name, t.datatype, t.shape) for t in signature.inputs] == [("x", "FP32", (-1, 2))]
    assert [(t.name, t.datatype, t.shape) for t in signature.outputs] == [
        ("output0", "FP32", (-1, 2)),
        ("output1", "INT64", (-1,)),
    ]
    signature = infer(save_export(Dictionary(), tmp_path / "b.pt2", EXAMPLE, scale=2 * EXAMPLE))
    assert [t.name for t in signature.inputs] == ["x", "scale"]
    assert [t.name for t in signature.outputs] == ["product", "difference"]
    signature = infer(save_export(Identity(), tmp_path / "c.pt2", EXAMPLE.to(torch.bfloat16)))
    assert signature.outputs[0].datatype == "BF16"


def test_a_fixed_batch_axis_is_free_in_the_signature_and_told_beside_it(tmp_path):
    torch.export.save(torch.export.export(Doubling(), (EXAMPLE,)), tmp_path / "m.pt2")
    signature = infer(tmp_path / "m.pt2")
    assert ([t.shape for t in signature.inputs], signature.fixed_rows) == ([(-1, 2)], 2)
    assert infer_fixed_rows(tmp_path / "m.pt2") == 2
    runtime = load(source_of(tmp_path / "m.pt2", "torch_export", X, Y))
    assert runtime.fixed_rows == 2
    assert runtime.predict({"x": np.ones((2, 2), np.float32)})["total"].tolist() == [2, 2]
    assert infer_fixed_rows(save_export(Doubling(), tmp_path / "free.pt2", EXAMPLE)) is None


def test_a_scalar_has_no_batch_axis(tmp_path):
    torch.export.save(torch.export.export(Identity(), (torch.tensor(1.0),)), tmp_path / "m.pt2")
    with pytest.raises(ManifestError, match="'x' has no axes"):
        infer(tmp_path / "m.pt2")


def test_another_number_of_inputs_is_refused(tmp_path):
    file = save_export(Doubling(), tmp_path / "m.pt2", EXAMPLE)
    with pytest.raises(ManifestError, match="takes 1 inputs, the manifest names 2"):
        load(source_of(file, "torch_export", tensors("x FP32 -1,2", "z FP32 -1,2"), Y))


def test_what_is_no_program_is_refused(tmp_path):
    (tmp_path / "m.pt2").write_bytes(b"damaged")
    with pytest.raises(ManifestError, match="is no archive that PyTorch wrote"):
        load(source_of(tmp_path / "m.pt2", "torch_export", X, Y))
