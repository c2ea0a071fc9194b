"""A listening TCP socket that several processes can share, and that can be closed without cutting off a client."""

from __future__ import annotations

import ctypes
import socket
import struct
import sys

BACKLOG = 4096  # connections that wait to be accepted; Linux's own limit (net.core.somaxconn)
_SO_ATTACH_FILTER = 26  # Linux; the module `socket` has no name for it
_TCP_INFO_BYTES = 104
_WAITING_AT = 24  # where tcp_info has tcpi_unacked: of a listener, the connections that wait to be accepted

# Classic BPF over the TCP header: packets that only ask for a connection (SYN without ACK) are dropped, others pass.
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of the flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # then drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # else take all of it
)


def bound_socket(host: str, port: int) -> socket.socket:
    """A TCP socket bound to a port, which other processes of the same user may bind as well; it does not listen yet.

    Args:
        host: An address of this machine, or a name of one.
        port: 0 takes any that is free.

    Raises:
        OSError: The port is taken by someone who does not share it, or the address is not this machine's.
    """
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def turn_away(listener: socket.socket) -> None:
    """Have the kernel ignore new connections, so that those it has accepted can be served and none is cut off.

    A listener that closes resets whatever waits in its queue. A client that is ignored asks again after a second, and
    by then it reaches another process on the port, or is refused if there is none. Only Linux can do this.
    """
    if sys.platform != "linux":
        return
    code = b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(buffer))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def waiting_connections(listener: socket.socket) -> int:
    """How many clients are connected but not accepted yet; 0 where the system does not say."""
    if sys.platform != "linux":
        return 0
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    waiting: int = struct.unpack_from("I", info, _WAITING_AT)[0]
    return waiting
