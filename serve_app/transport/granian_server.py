"""Granian's embedded server on the running event loop, on a socket that is given."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path
from typing import Any

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.log import LogLevels
from granian.net import SocketHolder
from granian.server.embed import Server

from serve_app.config.gateway import TlsConfig
from serve_app.transport.listener import BACKLOG
from serve_app.transport.rsgi import GatewayRsgi

CONNECTIONS = 4096  # at one time; those beyond wait to be accepted
# Granian would set logging up anew, which closes the handlers of everybody else in the process.
_LEAVE_LOGGING_ALONE = {"incremental": True, "handlers": {}, "loggers": {}}


class GranianServer(Server):  # type: ignore[misc]  # to mypy it is Any
    """Serves HTTP/1 until `stop`, which closes idle connections and lets the others have their answers.

    Args:
        app: Answers the requests.
        listener: Listens already; a copy of it is served and closed in the end.
        tls: None for plain HTTP.

    Raises:
        OSError: A file that TLS needs cannot be read, or is not what it should be.
    """

    def __init__(self, app: GatewayRsgi, listener: socket.socket, tls: TlsConfig | None) -> None:
        super().__init__(
            app,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            websockets=False,
            backpressure=CONNECTIONS,
            log_level=LogLevels.error,
            log_dictconfig=_LEAVE_LOGGING_ALONE,
            **(_tls_options(tls) if tls else {}),
        )
        self._listener = listener

    def _init_shared_socket(self) -> None:
        """Instead of binding an address, as granian does here."""
        self._shd = SocketHolder(os.dup(self._listener.fileno()), False, BACKLOG)


def _tls_options(tls: TlsConfig) -> dict[str, Any]:
    """Granian's own options, once OpenSSL has read every file: at a wrong one granian would end the process."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key, password="")  # an empty one, or OpenSSL asks at the terminal
    if tls.client_ca is not None:
        _load(context, tls.client_ca, "x509_ca")
    for revoked in tls.client_crl:
        _load(context, revoked, "crl")
    return {
        "ssl_cert": tls.certificate,
        "ssl_key": tls.key,
        "ssl_protocol_min": SSLProtocols(tls.min_version),
        "ssl_ca": tls.client_ca,
        "ssl_crl": list(tls.client_crl),
        "ssl_client_verify": tls.client_ca is not None,
    }


def _load(context: ssl.SSLContext, file: Path, kind: str) -> None:
    before = context.cert_store_stats()[kind]
    context.load_verify_locations(file)
    if context.cert_store_stats()[kind] == before:
        raise OSError(f"{file} holds no {'revocation list' if kind == 'crl' else 'certificate of an authority'}")
