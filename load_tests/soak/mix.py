"""The requests of a soak: a seeded mix of good, hurried, abandoned and bad ones, each with what may be answered."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import orjson

from load_tests.http_wire import Headers
from load_tests.soak.oracle import Oracle

MAX_ROWS = 64
REFUSED = frozenset({429, 503, 504})
HURRIED = frozenset({200, 429, 504})
HURRIED_BY_HEADER = HURRIED | {408}  # Ray Serve reads that header too; if it is first, the answer is its own
_LONGEST_HURRY_US = 30_000
_LONGEST_STAY_S = 0.02


class Kind(StrEnum):
    """What is particular about a request."""

    ORDINARY = "ordinary"
    PRIORITY = "with a priority"
    HURRIED_PARAMETER = "short timeout, parameter"
    HURRIED_HEADER = "short timeout, header"
    LEAVES = "client leaves before the answer"
    HALF_SENT = "client leaves in the middle of the body"
    BAD = "bad request"


WEIGHTS = {
    Kind.ORDINARY: 50,
    Kind.PRIORITY: 15,
    Kind.HURRIED_PARAMETER: 8,
    Kind.HURRIED_HEADER: 7,
    Kind.LEAVES: 8,
    Kind.HALF_SENT: 2,
    Kind.BAD: 10,
}


@dataclass(frozen=True, slots=True)
class Probe:
    """One request and what may come back.

    Attributes:
        statuses: That are right, beside a refusal where `may_be_refused`.
        may_be_refused: Whether 429, 503 and 504 are no fault as long as they are few.
        model: Whose answer a 200 must be; empty where there must be none.
        version: That must answer; empty where the traffic split chooses.
        rows: Which held-out rows were sent.
        leaves_after_s: When the client closes the connection without having its answer; None if it stays.
        is_half_sent: The client leaves after half of the body.
    """

    kind: Kind
    path: str
    body: bytes
    statuses: frozenset[int]
    may_be_refused: bool = False
    headers: Headers = ()
    model: str = ""
    version: str = ""
    rows: tuple[int, ...] = ()
    leaves_after_s: float | None = None
    is_half_sent: bool = False


class Mix:
    """An endless sequence of probes; the same seed gives the same ones."""

    def __init__(self, oracle: Oracle, seed: int) -> None:
        self._oracle, self._random = oracle, random.Random(seed)  # noqa: S311 - not for secrets

    def next(self) -> Probe:
        """The next probe."""
        kind = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if kind is Kind.BAD:
            return self._bad()
        return self._good(kind)

    def ordinary(self) -> Probe:
        """One that must be answered."""
        return self._good(Kind.ORDINARY)

    def _good(self, kind: Kind) -> Probe:
        pick = self._random
        model = pick.choices(["digits", "wine"], [4, 1])[0]
        version = pick.choice([*self._oracle.versions(model), ""])
        rows = tuple(pick.choices(range(len(self._oracle.rows[model])), k=_row_count(pick)))
        parameters: dict[str, int] = {}
        headers: list[tuple[str, str]] = [("x-tenant-id", pick.choice("abc"))]
        if kind is Kind.PRIORITY:
            parameters["priority"] = pick.randint(1, 9)
        if kind is Kind.HURRIED_PARAMETER:
            parameters["timeout"] = pick.randint(1, _LONGEST_HURRY_US)
        if kind is Kind.HURRIED_HEADER:
            headers.append(("x-request-timeout-seconds", f"{pick.randint(1, _LONGEST_HURRY_US) / 1e6:.6f}"))
        hurried = {Kind.HURRIED_PARAMETER: HURRIED, Kind.HURRIED_HEADER: HURRIED_BY_HEADER}
        return Probe(
            kind,
            _path(model, version),
            self._body(model, rows, parameters),
            hurried.get(kind, frozenset({200})),
            may_be_refused=kind not in hurried,
            headers=headers,
            model=model,
            version=version,
            rows=rows,
            leaves_after_s=pick.uniform(0, _LONGEST_STAY_S) if kind is Kind.LEAVES else None,
            is_half_sent=kind is Kind.HALF_SENT,
        )

    def _body(self, model: str, rows: tuple[int, ...], parameters: dict[str, int]) -> bytes:
        tensor = tensor_of(self._oracle.input_name(model), self._oracle.rows[model][list(rows)])
        return orjson.dumps({"inputs": [tensor], **({"parameters": parameters} if parameters else {})})

    def _bad(self) -> Probe:
        status, make = self._random.choice(BAD)
        path, body = make()
        return Probe(Kind.BAD, path, body, frozenset({status}))


def tensor_of(name: str, array: np.ndarray) -> dict[str, object]:
    """A V2 JSON tensor of FP32 rows."""
    return {"name": name, "datatype": "FP32", "shape": list(array.shape), "data": array.ravel().tolist()}


def _row_count(pick: random.Random) -> int:
    """From 1 to 64, the small ones more often, the largest often enough."""
    return pick.choice([1, 1, 1, 2, pick.randint(3, 16), pick.randint(17, MAX_ROWS - 1), MAX_ROWS])


def _path(model: str, version: str) -> str:
    return f"/v2/models/{model}/versions/{version}/infer" if version else f"/v2/models/{model}/infer"


def _pixels(columns: int = 64, first: object = 0.0, **more: object) -> bytes:
    data: list[object] = [first, *[0.0] * (columns - 1)]
    tensor = {"name": "pixels", "datatype": "FP32", "shape": [1, columns], "data": data}
    return orjson.dumps({"inputs": [tensor], **more})


_INFER = "/v2/models/digits/infer"

BAD: tuple[tuple[int, Callable[[], tuple[str, bytes]]], ...] = (
    (400, lambda: (_INFER, b"{inputs")),
    (400, lambda: (_INFER, b"")),
    (400, lambda: (_INFER, b"[1, 2]")),
    (400, lambda: (_INFER, _pixels(63))),
    (400, lambda: (_INFER, _pixels().replace(b"0.0", b"NaN", 1))),
    (400, lambda: (_INFER, _pixels(first=1e300))),
    (400, lambda: (_INFER, _pixels(first="7"))),
    (400, lambda: (_INFER, _pixels(parameters={"timeout": -1}))),
    (400, lambda: (_INFER, _pixels().replace(b"pixels", b"images"))),
    (404, lambda: ("/v2/models/cats/infer", _pixels())),
    (404, lambda: ("/v2/models/digits/versions/v9/infer", _pixels())),
)
"""Each with its status, as `transport/status.py` has it."""
