"""The core's log goes where Serve's own goes: the replica's log file and its format."""

from __future__ import annotations

import logging
import threading
import time

FLUSH_S = 1.0


def use_serve_log() -> None:
    """Hand records of `serve_app.*` in this replica to Serve's handlers, and have them written within a second.

    In its throughput-optimised mode Serve holds back up to 1,000 records, which may be hours of a quiet service.
    """
    serve_logger = logging.getLogger("ray.serve")
    logger = logging.getLogger("serve_app")
    logger.parent = serve_logger
    logger.setLevel(logging.INFO)
    threading.Thread(target=_flush_for_ever, args=(serve_logger,), name="flush-log", daemon=True).start()


def _flush_for_ever(logger: logging.Logger) -> None:
    while True:
        time.sleep(FLUSH_S)
        for handler in list(logger.handlers):
            handler.flush()
