"""Who a request's user is, for a model whose users stay at one version; empty where the request does not say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from serve_app.config.rollout import StickyConfig
from serve_app.types import Array, InferenceRequest

MAX_USER = 512  # characters that count; what is behind them makes no difference

Lookup = Callable[[str], str | None]
"""Gives a header's value, or gRPC metadata's, by its name in lower case. Of `cookie`, all there are, joined by `; `."""


def user_in_head(sticky: StickyConfig | None, lookup: Lookup | None) -> str:
    """The user that a header or cookie names; a value that is not ASCII names nobody: not every door hands it on."""
    if sticky is None or lookup is None:
        return ""
    if sticky.header is not None:
        value = lookup(sticky.header.lower()) or ""
    elif sticky.cookie is not None:
        value = _cookie(lookup("cookie") or "", sticky.cookie)
    else:
        return ""
    return value[:MAX_USER] if value.isascii() else ""


def user_of(sticky: StickyConfig | None, request: InferenceRequest) -> str:
    """The user of a request: who its head names, or the caller of a Python handle, else its tensor or parameter."""
    if sticky is None:
        return ""
    if request.user:
        return request.user[:MAX_USER]
    if sticky.tensor is not None:
        return _first(request.inputs.get(sticky.tensor))
    if sticky.parameter is not None:
        return _text(request.parameters.get(sticky.parameter, ""))
    return ""


def is_in_body(sticky: StickyConfig | None) -> bool:
    """Whether nothing but the decoded body says who the user is."""
    return sticky is not None and (sticky.tensor is not None or sticky.parameter is not None)


def _cookie(field: str, name: str) -> str:
    """The first cookie of that name, as RFC 6265 has it in the header `cookie`."""
    for pair in field.split(";"):
        found, _, value = pair.partition("=")
        if found.strip() == name:
            return value.strip()
    return ""


def _first(array: Array | None) -> str:
    """The first element as text; the array is not validated yet."""
    if not isinstance(array, np.ndarray) or array.size == 0:
        return ""
    element = array.flat[0]
    return _text(element.item() if isinstance(element, np.generic) else element)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value[: 4 * MAX_USER].decode(errors="replace")[:MAX_USER]
    return (value if isinstance(value, str) else repr(value))[:MAX_USER]
