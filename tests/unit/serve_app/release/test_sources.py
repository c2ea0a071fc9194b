"""Where a model that a call registers may lie."""

from __future__ import annotations

import pytest

from serve_app.errors import Forbidden, InvalidInput
from serve_app.release.sources import allowed_source


@pytest.fixture
def version(tmp_path):
    folder = tmp_path / "models/digits/v1"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text("")
    return folder


def test_a_folder_below_a_source_is_allowed(version, tmp_path):
    assert allowed_source(str(version), [str(tmp_path / "models")]) == str(version)


def test_links_in_the_operators_source_are_followed_as_those_of_the_model(version, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "models")
    assert allowed_source(str(tmp_path / "link/digits/v1"), [str(tmp_path / "link")]) == str(version)


def test_a_link_out_of_the_source_is_not_followed(version, tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open/v1").symlink_to(version)
    with pytest.raises(Forbidden, match=r"is not allowed here.*args\.admin\.sources"):
        allowed_source(str(tmp_path / "open/v1"), [str(tmp_path / "open")])


def test_a_name_that_only_begins_like_a_source_is_elsewhere(version, tmp_path):
    with pytest.raises(Forbidden):
        allowed_source(str(version), [str(tmp_path / "mod")])


def test_nothing_is_allowed_without_sources(version):
    with pytest.raises(Forbidden):
        allowed_source(str(version), [])


@pytest.mark.parametrize("source", ["{}/../v1", "{}/..", "{}\0"])
def test_a_path_that_goes_up_is_refused_before_it_is_looked_at(version, tmp_path, source):
    with pytest.raises(InvalidInput, match=r"must be a path without '\.\.'"):
        allowed_source(source.format(version), [str(tmp_path)])


def test_a_folder_without_a_manifest_is_no_version(version, tmp_path):
    with pytest.raises(InvalidInput, match=r"it has no model\.yaml"):
        allowed_source(str(version.parent), [str(tmp_path)])


BUCKET = ["s3://models/prod/", "https://host/m"]


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        ("s3://models/prod/digits/v1", "s3://models/prod/digits/v1"),
        ("https://host/m/digits/v1/", "https://host/m/digits/v1"),
    ],
)
def test_a_url_begins_with_a_source(source, allowed):
    assert allowed_source(source, BUCKET) == allowed


@pytest.mark.parametrize(
    "source", ["s3://models/production/v1", "s3://other/prod/v1", "https://host.evil/m/v1", "http://host/m/v1"]
)
def test_another_url_is_forbidden(source):
    with pytest.raises(Forbidden):
        allowed_source(source, BUCKET)


@pytest.mark.parametrize(
    "source",
    [
        "s3://models/prod/../other/v1",
        "s3://models/prod/%2e%2e/other",
        "s3://models/prod/./v1",
        "https://host/m/v1?x=1",
        "https://host/m/v1#x",
        "https://user@host/m/v1",
        "simplecache::s3://models/prod/v1",
        "https://host/m\\..\\v1",
        "https://host/m/\u0430",
        "file:///etc/v1",
        "FILE:///etc/v1",
        "local://etc/v1",
    ],
)
def test_a_url_that_could_mean_another_place_is_refused(source):
    with pytest.raises(InvalidInput):
        allowed_source(source, [*BUCKET, "file:///etc", "simplecache::s3://models/prod"])
