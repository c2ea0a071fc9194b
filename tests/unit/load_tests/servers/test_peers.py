from __future__ import annotations

import os
from pathlib import Path

import pytest

from load_tests.servers.fastapi_host import fastapi_host
from load_tests.servers.offers import CNN_THREADS
from load_tests.servers.peers import old_enough_python, peer_hosts
from load_tests.target import OURS, HostUnavailable


def interpreter(folder: Path, version: str) -> None:
    folder.mkdir()
    (folder / "python3.11").write_text(f"#!/bin/sh\necho Python {version}\n")
    (folder / "python3.11").chmod(0o755)


def test_every_peer_offers_both_workloads_on_ports_of_its_own(workloads):
    ports = []
    for host in peer_hosts(workloads):
        assert {offer.target.name for offer in host.offers} == {host.name}
        assert [offer.target.workload for offer in host.offers] == ["digits", "cnn"]
        ports += {offer.target.url.split("/")[2] for offer in host.offers}
    assert len(set(ports)) == len(ports) == 6


def test_only_servers_that_there_are_have_threads_of_their_own(workloads):
    others = {fastapi_host(workloads).name, *(host.name for host in peer_hosts(workloads))}
    assert {*CNN_THREADS} <= {OURS, *others}


def test_images_go_as_bytes_where_the_peer_takes_them(workloads):
    kinds = {host.name: host.offers[1].target.content_type.split(";")[0] for host in peer_hosts(workloads)}
    assert kinds == {
        "mosec": "application/octet-stream",
        "LitServe": "multipart/form-data",
        "MLServer": "application/json",
        "BentoML": "application/json",
        "PyTriton": "application/octet-stream",
        "TorchServe": "application/octet-stream",
    }


def test_a_form_holds_the_image_as_a_file(workloads):
    litserve = next(host for host in peer_hosts(workloads) if host.name == "LitServe")
    head, body = litserve.offers[1].target.bodies[0].split(b"\r\n\r\n", 1)
    assert head == b'--load-tests\r\nContent-Disposition: form-data; name="image"; filename="image"'
    assert body == workloads[1].raw_bodies()[0] + b"\r\n--load-tests--\r\n"


def test_the_first_python_that_is_old_enough_is_taken(tmp_path, monkeypatch):
    interpreter(tmp_path / "new", "3.11.7")
    interpreter(tmp_path / "old", "3.11.2")
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "new"), str(tmp_path / "old"), os.environ["PATH"]]))
    assert old_enough_python() == str(tmp_path / "old/python3.11")
    monkeypatch.setenv("PATH", str(tmp_path / "new"))
    with pytest.raises(HostUnavailable, match=r"older than 3\.11\.5"):
        old_enough_python()
