import pytest

from serve_app.cli.model_options import named_list, parse_golden, parse_metric, parse_tensor
from serve_app.cli.output import CommandError


def test_a_tensor_has_name_datatype_axes_and_perhaps_a_source():
    tensor = parse_tensor("pixels:FP32:-1,8,8")
    assert (tensor.name, tensor.datatype, tensor.shape, tensor.source) == ("pixels", "FP32", (-1, 8, 8), None)
    assert parse_tensor("x:INT8:-1:serving:0").source == "serving:0"


@pytest.mark.parametrize("text", ["", "x", "x:FP32", "x:FP31:-1", "x:FP32:3", "x:FP32:a,b", ":FP32:-1"])
def test_other_texts_are_no_tensors(text):
    with pytest.raises(CommandError, match="is no tensor"):
        parse_tensor(text)


def test_metrics_and_labels_have_names():
    assert parse_metric("accuracy=0.97") == ("accuracy", 0.97)
    assert named_list("label=cat,dog") == ("label", ("cat", "dog"))
    for text in ("accuracy", "accuracy=high"):
        with pytest.raises(CommandError, match="NAME=NUMBER"):
            parse_metric(text)
    for text in ("label", "=a", "label="):
        with pytest.raises(CommandError, match="OUTPUT=class0"):
            named_list(text)


def test_golden_checks_are_read_from_yaml_and_json(tmp_path):
    file = tmp_path / "golden"
    for text in ("- inputs: {x: [[1]]}\n  outputs: {y: [2]}\n", '[{"inputs": {"x": [[1]]}, "outputs": {"y": [2]}}]'):
        file.write_text(text)
        assert parse_golden(file)[0].outputs == {"y": [2]}


def test_small_numbers_of_a_json_file_are_numbers(tmp_path):
    """YAML 1.1 reads 1e-05 as text, but that is how Python writes it into JSON."""
    (tmp_path / "golden").write_text('[{"inputs": {"x": [1e-05]}, "outputs": {"y": [2]}}]')
    assert parse_golden(tmp_path / "golden")[0].inputs == {"x": [1e-05]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [("[", "not valid YAML"), ("- inputs: 3", "0.inputs"), ("a: 1", "tuple"), ("x" * 5_000_000, "longer")],
)
def test_other_files_are_no_golden_checks(tmp_path, text, reason):
    (tmp_path / "golden").write_text(text)
    with pytest.raises(CommandError, match=reason):
        parse_golden(tmp_path / "golden")
    with pytest.raises(CommandError, match="cannot be read"):
        parse_golden(tmp_path / "missing")
