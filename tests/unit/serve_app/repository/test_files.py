import hashlib
import io

import pytest
from support.versions import doubling, onnx_document, write_version

from serve_app.config.manifest import Manifest
from serve_app.errors import ArtifactMismatch, ManifestError
from serve_app.repository.files import check_files, copy_hashed, sha256_of


def test_the_digest_is_of_the_whole_file(tmp_path):
    data = b"a" * 3_000_000
    (tmp_path / "f").write_bytes(data)
    assert sha256_of(tmp_path / "f") == hashlib.sha256(data).hexdigest()


def test_what_is_copied_is_what_is_hashed():
    target = io.BytesIO()
    assert copy_hashed(io.BytesIO(b"abc"), target) == hashlib.sha256(b"abc").hexdigest()
    assert target.getvalue() == b"abc"


def manifest() -> Manifest:
    return Manifest.model_validate(onnx_document(doubling()))


def test_a_changed_byte_is_found(tmp_path):
    file = write_version(tmp_path, doubling(), {}) / "model.onnx"
    check_files(tmp_path, manifest())
    file.write_bytes(doubling()[:-1])
    with pytest.raises(ArtifactMismatch):
        check_files(tmp_path, manifest())


def test_a_directory_in_place_of_the_artifact_is_refused(tmp_path):
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(ManifestError, match=r"is named in model\.yaml and is not there"):
        check_files(tmp_path, manifest())


def test_a_link_out_of_the_directory_is_refused_and_one_within_is_not(tmp_path):
    (tmp_path / "outside.onnx").write_bytes(doubling())
    version = tmp_path / "v1"
    (version / "data").mkdir(parents=True)
    (version / "data" / "inside.onnx").write_bytes(doubling())
    (version / "model.onnx").symlink_to("data/inside.onnx")
    check_files(version, manifest())
    (version / "model.onnx").unlink()
    (version / "model.onnx").symlink_to("../outside.onnx")
    with pytest.raises(ManifestError, match="leads out of the version's directory"):
        check_files(version, manifest())
