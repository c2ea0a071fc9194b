"""Whether a target answers right: one row's answer, however a server writes it, against ONNX Runtime's own."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

import httpx
import numpy as np
import orjson

from load_tests.target import Target
from serve_app.types import Array

_TRIES = 3  # bodies that are checked: enough to see that answers follow the rows
_TIMEOUT_S = 5.0
_TOLERANCE = 1e-3  # of logits that differ by 0.01 and more between images


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no one truth value
class Offer:
    """A target and what is expected of it.

    Attributes:
        target: Still without pids.
        expected: The right answer to each body, as `Workload.expected`; None if any answer of status 200 will do.
        is_optional: Whether the host is of use without it.
    """

    target: Target
    expected: Array | None
    is_optional: bool = False


def fault_of(offer: Offer) -> str:
    """What is wrong with the answers to the first bodies; empty if they are right."""
    target = offer.target
    headers = {"content-type": target.content_type, **dict(target.headers)}
    try:
        with httpx.Client(timeout=_TIMEOUT_S, trust_env=False) as client:
            for index, body in enumerate(target.bodies[:_TRIES]):
                response = client.post(target.url, content=body, headers=headers)
                expected = None if offer.expected is None else offer.expected[index]
                if fault := fault_in(response, target.workload, expected):
                    return fault
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def fault_in(response: httpx.Response, workload: str, expected: Array | None) -> str:
    """What is wrong with one answer; empty if it is right, or if nothing but its status is expected."""
    if response.status_code != HTTPStatus.OK:
        return f"status {response.status_code}: {response.text[:200]}"
    if expected is None:
        return ""
    try:
        answer = label_of(response.content) if workload == "digits" else logits_of(response)
    except (LookupError, TypeError, ValueError) as error:
        return f"{type(error).__name__} in reading {response.content[:200]!r}: {error}"
    if answer.shape == expected.shape and np.allclose(answer, expected, atol=_TOLERANCE):
        return ""
    return f"answered {answer.tolist()}, not {expected.tolist()}"


def label_of(body: bytes) -> Array:
    """The label in a V2 answer of one row, an array without axes."""
    return np.asarray(_output(body, "label")).reshape(())


def logits_of(response: httpx.Response) -> Array:
    """The logits [10] of one row: V2 JSON, V2 with the binary extension, or nothing but their bytes."""
    body = response.content
    if "inference-header-content-length" in response.headers:
        body = body[int(response.headers["inference-header-content-length"]) :]
    elif "json" in response.headers.get("content-type", ""):
        return np.asarray(_output(body, "logits"), np.float32).ravel()
    return np.frombuffer(body, "<f4")


def _output(body: bytes, name: str) -> list[float]:
    answer = orjson.loads(body)
    response = answer[0] if isinstance(answer, list) else answer  # BentoML gives a list of one
    data: list[float] = next(output["data"] for output in response["outputs"] if output["name"] == name)
    return data
