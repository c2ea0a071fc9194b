"""Whether there is a cluster that `serve run` would attach to."""

import socket

import pytest

from serve_app.cli.output import CommandError
from serve_app.cli.ray_cluster import running_cluster


def place(tmp_path, address):
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray/ray_current_cluster").write_text(address)
    return {"RAY_TMPDIR": str(tmp_path)}


def test_without_a_trace_there_is_none(tmp_path):
    assert running_cluster({"RAY_TMPDIR": str(tmp_path)}) is None


def test_an_empty_file_names_none(tmp_path):
    assert running_cluster(place(tmp_path, "")) is None


def test_the_variable_wins(tmp_path):
    environment = {**place(tmp_path, "127.0.0.1:1"), "RAY_ADDRESS": "ray://head:10001"}
    cluster = running_cluster(environment)
    assert (cluster.address, cluster.found_in) == ("ray://head:10001", "RAY_ADDRESS")


def test_an_empty_variable_does_not_count(tmp_path):
    assert running_cluster({"RAY_TMPDIR": str(tmp_path), "RAY_ADDRESS": ""}) is None


def test_a_cluster_that_answers_is_found(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as gcs:
        address = f"127.0.0.1:{gcs.getsockname()[1]}"
        cluster = running_cluster(place(tmp_path, address + "\n"))
    assert (cluster.address, cluster.found_in) == (address, f"{tmp_path}/ray/ray_current_cluster")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense"])
def test_a_cluster_that_is_gone_is_an_error_not_a_long_wait(tmp_path, address):
    with pytest.raises(CommandError, match=f"names a Ray cluster at {address} and nobody answers there; .* remove"):
        running_cluster(place(tmp_path, address))
