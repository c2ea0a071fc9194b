"""Ports that a file needs, and who holds them."""

import os
import socket
from dataclasses import replace

import psutil
import pytest

from serve_app.cli.ports import Port, ports_of, taken_ports
from serve_app.config.declared import Application, Gateway, ServeFile
from serve_app.config.gateway import ExpressConfig, GatewayArgs

FILE = ServeFile((), (), (), "127.0.0.1", 8000, None, False)
APPLICATION = Application(("applications", 0), {}, ())
EXPRESS = Gateway(APPLICATION, GatewayArgs(express=ExpressConfig(host="127.0.0.2", port=82)), None)


@pytest.mark.parametrize(
    ("file", "numbers"),
    [
        (FILE, [8000, 8265]),
        (replace(FILE, http_port=81, grpc_port=9000), [81, 8265, 9000]),
        (replace(FILE, has_ha_proxy=True), [8000, 8265, 8404, 9101]),
        (replace(FILE, gateways=(EXPRESS,)), [8000, 8265, 82]),
        (replace(FILE, gateways=(Gateway(APPLICATION, None, None),)), [8000, 8265]),
    ],
)
def test_a_file_needs_what_it_switches_on(file, numbers):
    assert [port.number for port in ports_of(file)] == numbers


def test_the_express_door_is_on_its_own_host():
    (port,) = [port for port in ports_of(replace(FILE, gateways=(EXPRESS,))) if port.number == 82]
    assert (port.host, port.purpose) == ("127.0.0.2", "the express door (args.express.port)")


def test_a_free_port_is_no_problem():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
    assert taken_ports([Port("127.0.0.1", number, "a test")]) == []


def test_a_taken_port_is_named_with_its_purpose_and_holder():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
        holder = f"process {os.getpid()} ({psutil.Process().name()})"
        assert taken_ports([Port("127.0.0.1", number, "HTTP (http_options.port)")]) == [
            f"port {number} for HTTP (http_options.port) is taken by {holder}"
        ]


def test_a_listener_on_loopback_takes_the_port_from_all_interfaces():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert len(taken_ports([Port("0.0.0.0", listener.getsockname()[1], "x")])) == 1  # noqa: S104


def test_all_taken_ports_are_named_at_once():
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [Port("127.0.0.1", listener.getsockname()[1], "x") for listener in (one, two)]
        assert len(taken_ports(ports)) == 2


def test_an_address_that_this_machine_does_not_have_cannot_be_used():
    (problem,) = taken_ports([Port("203.0.113.1", 8000, "x")])
    assert problem == "port 8000 for x cannot be used: Cannot assign requested address"


def test_a_closed_connection_does_not_hold_its_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", number)) as client:
            accepted, _ = listener.accept()
            accepted.close()  # the listener's side closes first and waits in TIME_WAIT
            assert client.recv(1) == b""
    assert taken_ports([Port("127.0.0.1", number, "x")]) == []


def test_a_number_that_is_no_port_cannot_be_used():
    (problem,) = taken_ports([Port("127.0.0.1", 99999, "x")])
    assert problem == "port 99999 for x cannot be used: ports are 1 to 65535"
