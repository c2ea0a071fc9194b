import pytest
from support.versions import doubling, write_version

from serve_app.errors import ArtifactMismatch, ConfigError, ManifestError
from serve_app.repository.add import staged_version
from serve_app.repository.store import list_versions, open_version, read_manifest


def test_a_local_version_is_used_in_place(tmp_path):
    write_version(tmp_path / "m" / "v1", doubling(), {})
    version = open_version(str(tmp_path / "m" / "v1"))
    assert version.directory == tmp_path / "m" / "v1"
    assert version.manifest.inputs[0].name == "x"


def test_a_relative_path_becomes_absolute(tmp_path, monkeypatch):
    write_version(tmp_path / "m" / "v1", doubling(), {})
    monkeypatch.chdir(tmp_path)
    assert open_version("m/v1").directory == tmp_path / "m" / "v1"


def test_a_url_is_fetched_into_the_given_cache(tmp_path):
    write_version(tmp_path / "remote", doubling(), {})
    version = open_version(f"file://{tmp_path}/remote", tmp_path / "cache")
    assert version.directory.is_relative_to(tmp_path / "cache")
    assert version.source == f"file://{tmp_path}/remote"


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_manifest_is_read_without_its_files(tmp_path, scheme):
    (write_version(tmp_path / "m", doubling(), {}) / "model.onnx").unlink()
    assert read_manifest(f"{scheme}{tmp_path}/m").inputs[0].name == "x"
    with pytest.raises(ManifestError, match=r"is not a directory|has no model\.yaml"):
        read_manifest(f"{scheme}{tmp_path}/nothing")


def test_a_tampered_artifact_is_refused_with_both_digests(tmp_path):
    directory = write_version(tmp_path, doubling(), {})
    (directory / "model.onnx").write_bytes(doubling() + b"\0")
    with pytest.raises(ArtifactMismatch) as raised:
        open_version(str(directory))
    assert raised.value.expected_sha256 in str(raised.value)
    assert raised.value.actual_sha256 in str(raised.value)


@pytest.mark.parametrize("missing", ["model.yaml", "model.onnx"])
def test_a_half_written_version_is_refused(tmp_path, missing):
    directory = write_version(tmp_path, doubling(), {})
    (directory / missing).unlink()
    with pytest.raises(ManifestError, match=missing):
        open_version(str(directory))


def test_what_is_no_directory_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="is not a directory"):
        open_version(str(tmp_path / "nothing"))
    (tmp_path / "model.yaml").mkdir()
    with pytest.raises(ManifestError, match="cannot be read"):
        open_version(str(tmp_path))


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", ".hidden", "", "a\\b"])
def test_an_artifact_name_cannot_leave_the_directory(tmp_path, name):
    directory = write_version(tmp_path, doubling(), {"artifact": name})
    with pytest.raises(ManifestError, match="artifact: "):
        open_version(str(directory))
    write_version(tmp_path, doubling(), {"extra_files": {name: "0" * 64}})
    with pytest.raises(ManifestError, match="extra_files"):
        open_version(str(directory))


def test_unfinished_and_foreign_directories_are_no_versions(tmp_path):
    write_version(tmp_path / "b" / "v1", doubling(), {})
    write_version(tmp_path / "a" / "v2", doubling(), {})
    write_version(tmp_path / "a" / ".v3-123.tmp", doubling(), {})
    (tmp_path / "a" / "empty").mkdir()
    with staged_version(tmp_path, "a", "v4"):
        found = list_versions(tmp_path)
    assert [(entry.model, entry.version) for entry in found] == [("a", "v2"), ("b", "v1")]


def test_a_repository_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="is not a directory"):
        list_versions(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("source", "reason"),
    [("~nosuchuser/x", "home directory"), ("a" * 5000, "File name too long")],
)
def test_a_path_that_cannot_be_looked_at_is_refused_in_few_words(source, reason):
    with pytest.raises(ManifestError, match=reason) as raised:
        open_version(source)
    assert len(str(raised.value)) < 300


def test_a_link_that_goes_in_circles_is_refused(tmp_path):
    directory = write_version(tmp_path, doubling(), {})
    (directory / "model.onnx").unlink()
    (directory / "model.onnx").symlink_to("model.onnx")
    with pytest.raises(ManifestError, match="cannot be opened: Symlink loop"):
        open_version(str(directory))
