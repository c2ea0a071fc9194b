import time

import pytest
import yaml
from support.versions import doubling, onnx_document

from serve_app.errors import ManifestError
from serve_app.repository.manifest_file import MAX_MANIFEST_BYTES, parse_manifest, write_manifest


def text(**changes) -> bytes:
    return yaml.safe_dump(onnx_document(doubling()) | changes).encode()


def test_what_is_written_is_read_back(tmp_path):
    manifest = parse_manifest(text(description="größer", metrics={"accuracy": 0.1 + 0.2}), "m")
    write_manifest(tmp_path, manifest)
    assert parse_manifest((tmp_path / "model.yaml").read_bytes(), "m") == manifest


def test_a_profile_is_written_with_numbers_of_rows(tmp_path):
    profile = {"device": "cpu", "threads": 1, "ms_by_rows": {1: 0.05, 64: 0.5}}
    manifest = parse_manifest(text(profile=profile), "m")
    write_manifest(tmp_path, manifest)
    assert "ms_by_rows: {1: 0.05, 64: 0.5}" in (tmp_path / "model.yaml").read_text()
    assert parse_manifest((tmp_path / "model.yaml").read_bytes(), "m") == manifest


def test_all_faults_are_told_at_once():
    with pytest.raises(ManifestError) as raised:
        parse_manifest(text(format="onxx", colour="red", warmup={"rows": [0]}), "a/model.yaml")
    message = str(raised.value)
    assert message.startswith("a/model.yaml: ")
    assert all(part in message for part in ("format: ", "colour: ", "warmup.rows.0: "))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "must be a mapping"),
        (b"[1, 2]", "must be a mapping"),
        (b"a: [", "is not valid YAML"),
        (b"\xff\xfe\xfd", "is not valid YAML"),
        (b"a: &x [1]\nb: *x\n", "aliases (*x) are not taken"),
        (b"[" * 100 + b"]" * 100, "nests deeper than 24 levels"),
        (b"format: onnx\nformat: skops\n", "key 'format' is there twice"),
        (b"? [a]\n: 1\n", "is not valid YAML"),
        (b"a: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
        (b"a: 1\nb: !!bool abc\n", "'abc' cannot be read as !!bool in \"<byte string>\", line 2"),
        (b"a: !!timestamp abc\n", "'abc' cannot be read as !!timestamp"),
        (b"a: !!int ''\n", "'' cannot be read as !!int"),
        (b"a: " + b"1:" * 400 + b"1.5\n", "is not valid YAML"),
        (b"a: " + b"1:" * 2**20 + b"1\n", "a number of 2097153 characters"),
        (b"a: !!map [[b, c]]\n", "is not valid YAML"),
        (b"#" * (MAX_MANIFEST_BYTES + 1), "is longer than 4194304 bytes"),
    ],
)
def test_what_is_no_manifest_is_refused_with_its_reason(data, reason):
    with pytest.raises(ManifestError) as raised:
        parse_manifest(data, "m")
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_many_keys_take_no_square_of_their_number():
    data = b"".join(b"k%d: 1\n" % n for n in range(50_000))
    started = time.monotonic()
    with pytest.raises(ManifestError, match=r"and \d+ more"):
        parse_manifest(data, "m")
    assert time.monotonic() - started < 20  # counting each key among all took minutes
