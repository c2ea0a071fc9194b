"""How much of the time that a request has left each node may take: by what the nodes usually take."""

from __future__ import annotations

from collections.abc import Mapping

from serve_app.batching.latency import LatencyModel
from serve_app.graph.structure import Structure, after_s


class Shares:
    """Divides what is left over the nodes that are still to come, along the longest way through them.

    A node may take what those behind it do not usually need, so it can use what is to spare for larger batches and for
    its own bad moments; where there is too little for all, each has as much of it as it usually takes of the whole. A
    latency model for each node is seeded by the warm-up and learns what it really takes.

    Args:
        structure: Of the graph.
        profiles: Seconds by rows, by node; nodes left out take no time that matters.
    """

    def __init__(self, structure: Structure, profiles: Mapping[str, Mapping[int, float]]) -> None:
        self._structure = structure
        self._latencies = {name: LatencyModel(profile) for name, profile in profiles.items()}

    def observe(self, name: str, rows: int, seconds: float) -> None:
        """Take one execution of a node into account."""
        if name in self._latencies:
            self._latencies[name].observe(rows, seconds)

    def of(self, name: str, rows: int, left_s: float) -> float:
        """Seconds that a node may take of those that are left when it begins.

        Args:
            name: Of the node.
            rows: That it is given.
            left_s: Until the answer is of no more use.
        """
        usual = self.usual_s(rows)
        own_s = usual.get(name, 0.0)
        behind_s = after_s(self._structure, usual).get(name, 0.0)
        share = own_s / (own_s + behind_s) if own_s > 0 else 0.0
        return max(left_s * share, left_s - behind_s)

    def usual_s(self, rows: int) -> dict[str, float]:
        """What each node usually takes for so many rows; those that nothing is known of are left out."""
        return {name: latency.usual_s(rows) for name, latency in self._latencies.items() if latency.is_known}
