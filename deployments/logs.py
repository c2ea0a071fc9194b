"""The core's log goes where Serve's own goes: the replica's log file and its format."""

from __future__ import annotations

import logging
import logging.handlers
import threading
import time
from pathlib import Path

from ray import serve
from ray.serve._private.logging_utils import get_serve_logs_dir

FLUSH_S = 1.0
REQUEST_LOG_BYTES, REQUEST_LOG_FILES = 2**27, 5  # of one replica, before the oldest lines are dropped


def use_request_log() -> None:
    """Have the lines of `serve_app.request` written to a file of their own beside Serve's: one JSON object a line."""
    directory = Path(get_serve_logs_dir())
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"requests_{serve.get_replica_context().replica_id.unique_id}.jsonl"
    handler = logging.handlers.RotatingFileHandler(file, maxBytes=REQUEST_LOG_BYTES, backupCount=REQUEST_LOG_FILES)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("serve_app.request")
    logger.addHandler(handler)
    logger.propagate = False


def use_serve_log() -> None:
    """Hand records of `serve_app.*` in this replica to Serve's handlers, and have them written within a second.

    In its throughput-optimised mode Serve holds back up to 1,000 records, which may be hours of a quiet service.
    """
    serve_logger = logging.getLogger("ray.serve")
    logger = logging.getLogger("serve_app")
    logger.parent = serve_logger
    logger.setLevel(logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # its INFO lines show whole URLs, and webhooks' hold secrets
    threading.Thread(target=_flush_for_ever, args=(serve_logger,), name="flush-log", daemon=True).start()


def _flush_for_ever(logger: logging.Logger) -> None:
    while True:
        time.sleep(FLUSH_S)
        for handler in list(logger.handlers):
            handler.flush()
