"""What one point of load gave: the figures that reports and plots show, whatever tool made the load."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


class LoadFailed(Exception):
    """A load could not be put on a server; the message says what and why."""


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the ordered values that `share` of them do not exceed (nearest rank); NaN if there are none."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class ClosedPoint:
    """A closed loop at one number of connections.

    Attributes:
        seconds: Time the load took.
        answers: Whole answers, of any status.
        requests_per_s: Answers with status 2xx in a second.
        p50_ms: Median latency of all answers; NaN if there were none.
        failed: Other answers, and connections that broke.
        tool: What made the load: `wrk` or `python`.
    """

    connections: int
    seconds: float
    answers: int
    requests_per_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    failed: int
    tool: str


@dataclass(frozen=True, slots=True)
class OpenPoint:
    """An open loop at one offered rate.

    Attributes:
        offered_per_s: Requests that the schedule holds, in a second.
        goodput_per_s: Answers with status 200 within the objective, in a second.
        in_time_share: Of the requests offered, those answered with 200 within the objective.
        p50_ms: Of the answers with 200, from the scheduled send time; NaN if there were none.
        refused_per_s: Answers with 408, 429, 503 or 504, in a second.
        refused_p99_ms: Of those answers; NaN if there were none.
        failed: Other answers, broken connections, and requests without any answer at the end.
        late_p99_ms: How long after its scheduled time the generator handled a request: its own fault, not the server's.
    """

    offered_per_s: float
    goodput_per_s: float
    in_time_share: float
    p50_ms: float
    p99_ms: float
    refused_per_s: float
    refused_p50_ms: float
    refused_p99_ms: float
    failed: int
    late_p99_ms: float
