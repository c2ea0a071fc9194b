import multiprocessing
from uuid import uuid4

import fsspec
import pytest
import yaml
from fsspec import AbstractFileSystem
from support.versions import doubling, onnx_document, write_version

from serve_app.errors import ArtifactMismatch, ConfigError, ManifestError
from serve_app.repository.cache import fetch


@pytest.fixture
def remote():
    """A version in a store that exists only in this process' memory."""
    path = f"/{uuid4().hex}/m/v1"
    store = fsspec.filesystem("memory")
    store.pipe(f"{path}/model.onnx", doubling())
    store.pipe(f"{path}/model.yaml", yaml.safe_dump(onnx_document(doubling())).encode())
    return store, path


def test_a_version_arrives_whole_and_leaves_nothing_else(remote, tmp_path):
    directory = fetch(f"memory:/{remote[1]}", tmp_path)
    assert (directory / "model.onnx").read_bytes() == doubling()
    assert [path.name for path in (tmp_path / "versions").iterdir()] == [directory.name]


def test_the_second_time_only_the_manifest_is_downloaded(remote, tmp_path):
    store, path = remote
    first = fetch(f"memory:/{path}", tmp_path)
    store.rm(f"{path}/model.onnx")  # so a second download of it would fail
    assert fetch(f"memory:/{path}/", tmp_path) == first


def test_a_new_manifest_is_a_new_version(remote, tmp_path):
    store, path = remote
    first = fetch(f"memory:/{path}", tmp_path)
    store.pipe(f"{path}/model.yaml", yaml.safe_dump(onnx_document(doubling()) | {"description": "new"}).encode())
    assert fetch(f"memory:/{path}", tmp_path) != first


def test_a_version_damaged_in_the_cache_is_fetched_again(remote, tmp_path):
    directory = fetch(f"memory:/{remote[1]}", tmp_path)
    (directory / "model.onnx").write_bytes(b"damaged")
    assert fetch(f"memory:/{remote[1]}", tmp_path) == directory
    assert (directory / "model.onnx").read_bytes() == doubling()


def test_a_file_that_arrives_changed_or_short_is_refused_and_not_kept(remote, tmp_path):
    store, path = remote
    store.pipe(f"{path}/model.onnx", doubling()[:-1])
    with pytest.raises(ArtifactMismatch, match=r"m/v1/model\.onnx"):
        fetch(f"memory:/{path}", tmp_path)
    assert not list((tmp_path / "versions").iterdir())


@pytest.mark.parametrize("missing", ["model.yaml", "model.onnx"])
def test_a_half_written_version_is_refused(remote, tmp_path, missing):
    store, path = remote
    store.rm(f"{path}/{missing}")
    with pytest.raises(ManifestError, match=f"has no {missing}"):
        fetch(f"memory:/{path}", tmp_path)


def test_an_unknown_store_and_a_missing_driver_are_told_apart(tmp_path):
    with pytest.raises(ManifestError, match="nonsense"):
        fetch("nonsense://bucket/m/v1", tmp_path)
    with pytest.raises(ConfigError, match=r"(?i)install"):
        fetch("dropbox://bucket/m/v1", tmp_path)


def _fetch_in_process(arguments):
    return str(fetch(*arguments))


def test_processes_that_race_all_get_the_same_whole_version(tmp_path):
    write_version(tmp_path / "remote" / "v1", doubling(), {})
    url = f"file://{tmp_path}/remote/v1"
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        found = pool.map(_fetch_in_process, [(url, tmp_path / "cache")] * 8)
    assert len(set(found)) == 1
    assert len(list((tmp_path / "cache" / "versions").iterdir())) == 1


class Broken(AbstractFileSystem):
    """A store whose driver raises an exception of its own kind."""

    protocol = "broken"
    cachable = False

    def open(self, path: str, mode: str = "rb", **_: object):
        raise KeyError("bucket")


def test_a_driver_s_own_exceptions_name_the_url(tmp_path):
    fsspec.register_implementation("broken", Broken, clobber=True)
    with pytest.raises(ManifestError, match=r"^broken://b/m/v1: model\.yaml cannot be read: KeyError: 'bucket'$"):
        fetch("broken://b/m/v1", tmp_path)
    (tmp_path / "none.zip").write_bytes(b"no zip")
    with pytest.raises(ManifestError, match=r"^zip://m/v1::file://.*: cannot be opened: BadZipFile: "):
        fetch(f"zip://m/v1::file://{tmp_path}/none.zip", tmp_path)
