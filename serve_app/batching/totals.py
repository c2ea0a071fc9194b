"""What a release replica has done so far, for autoscaling: rates follow from two readings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts since the replica started, and what waits now.

    Attributes:
        rows: Rows executed.
        busy_s: Seconds spent executing, over all instances.
        missed: Requests ended because their deadline could not be met.
        refused: Requests refused before anything was executed, here and at the gateways.
        queued_rows: Rows that wait now, including what gateways said still waits at their side.
        instances: Batches that can run at a time.
    """

    rows: int
    busy_s: float
    missed: int
    refused: int
    queued_rows: int
    instances: int = 1
