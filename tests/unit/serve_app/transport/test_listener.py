"""Listening sockets that are shared, and closed without cutting anyone off."""

from __future__ import annotations

import errno
import socket
import sys

import pytest

from serve_app.transport.listener import bound_socket, turn_away, waiting_connections

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux filters packets of a socket")


def test_two_sockets_share_a_port():
    with bound_socket("127.0.0.1", 0) as one, bound_socket("127.0.0.1", one.getsockname()[1]) as other:
        assert one.getsockname() == other.getsockname()


def test_a_port_of_someone_who_does_not_share_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(OSError, match="in use") as taken:
        bound_socket("127.0.0.1", other.getsockname()[1])
    assert taken.value.errno == errno.EADDRINUSE


def test_names_and_ipv6_addresses_can_be_bound():
    with bound_socket("localhost", 0) as named:
        assert named.getsockname()[1] > 0
    with bound_socket("::1", 0) as six:
        assert six.getsockname()[0] == "::1"


def test_a_bound_socket_refuses_connections_until_it_listens():
    with bound_socket("127.0.0.1", 0) as listener:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(listener.getsockname())
        listener.listen()
        socket.create_connection(listener.getsockname()).close()


@linux
def test_waiting_connections_are_counted():
    with bound_socket("127.0.0.1", 0) as listener:
        listener.listen()
        assert waiting_connections(listener) == 0
        with socket.create_connection(listener.getsockname()), socket.create_connection(listener.getsockname()):
            assert waiting_connections(listener) == 2
            listener.accept()[0].close()
            assert waiting_connections(listener) == 1


@linux
def test_clients_turned_away_wait_while_those_before_them_are_served():
    with bound_socket("127.0.0.1", 0) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()) as before:
            turn_away(listener)
            with pytest.raises(TimeoutError):
                socket.create_connection(listener.getsockname(), timeout=0.2)
            accepted, _ = listener.accept()
            with accepted:
                before.sendall(b"ping")
                assert accepted.recv(4) == b"ping"


@linux
def test_clients_turned_away_reach_the_other_socket_once_this_one_is_closed():
    one = bound_socket("127.0.0.1", 0)
    one.listen()
    turn_away(one)
    with bound_socket("127.0.0.1", one.getsockname()[1]) as other:
        other.listen()
        one.close()
        for _ in range(8):
            socket.create_connection(other.getsockname(), timeout=1).close()
        assert waiting_connections(other) == 8
