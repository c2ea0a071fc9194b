from pathlib import Path

import pytest

from serve_app.config.manifest import Format
from serve_app.errors import ConfigError
from serve_app.repository.add import copy_artifact, format_of, staged_version


def test_the_suffix_says_the_format():
    assert format_of(Path("a/model.v2.ONNX")) is Format.ONNX
    assert format_of(Path("m.pt2")) is Format.TORCH_EXPORT
    with pytest.raises(ConfigError, match=r"suffix '\.h5'; known are \.onnx"):
        format_of(Path("model.h5"))


def test_a_version_appears_only_when_the_block_ends(tmp_path):
    with staged_version(tmp_path, "m", "v1") as directory:
        (directory / "f").write_text("whole")
        assert not (tmp_path / "m" / "v1").exists()
    assert (tmp_path / "m" / "v1" / "f").read_text() == "whole"
    assert (tmp_path / "m" / "v1").stat().st_mode & 0o777 == 0o755
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["v1"]


def test_a_failed_block_leaves_nothing(tmp_path):
    def fail_half_way():
        with staged_version(tmp_path, "m", "v1") as directory:
            (directory / "f").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert not list(tmp_path.iterdir())


def test_a_version_never_changes_even_if_two_add_it_at_once(tmp_path):
    def add_twice():
        with staged_version(tmp_path, "m", "v1") as first, staged_version(tmp_path, "m", "v1") as second:
            (first / "f").write_text("first")
            (second / "f").write_text("second")

    with pytest.raises(ConfigError, match="exists, and a version never changes"):
        add_twice()
    assert (tmp_path / "m" / "v1" / "f").read_text() == "second"
    with pytest.raises(ConfigError, match="choose another version tag"), staged_version(tmp_path, "m", "v1"):
        pass


@pytest.mark.parametrize(
    ("model", "version"),
    [("../m", "v1"), ("m", ".."), ("m", ".v1"), ("", "v1"), ("m", "a/b"), ("m" * 129, "v1"), ("a b", "v1")],
)
def test_names_cannot_lead_elsewhere(tmp_path, model, version):
    with pytest.raises(ConfigError, match="is no name"), staged_version(tmp_path, model, version):
        pass


def test_copying_never_overwrites(tmp_path):
    (tmp_path / "a").write_text("a")
    copy_artifact(tmp_path / "a", tmp_path / "b")
    with pytest.raises(ConfigError, match="cannot be copied: File exists"):
        copy_artifact(tmp_path / "a", tmp_path / "b")
    with pytest.raises(ConfigError, match="No such file"):
        copy_artifact(tmp_path / "none", tmp_path / "c")


def test_a_failed_block_leaves_what_was_there(tmp_path):
    (tmp_path / "models" / "m").mkdir(parents=True)
    with pytest.raises(RuntimeError), staged_version(tmp_path / "models", "m", "v1"):
        raise RuntimeError
    assert (tmp_path / "models" / "m").is_dir()


def test_a_repository_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "README.md").write_text("text")
    with (
        pytest.raises(ConfigError, match=r"README\.md/m/v1 cannot be made: Not a directory"),
        staged_version(tmp_path / "README.md", "m", "v1"),
    ):
        pass
