"""Which version answers a request: the traffic table over the releases that can be called now."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from itertools import accumulate

from serve_app.config.gateway import ModelTraffic, TrafficTable
from serve_app.config.rollout import StickyConfig
from serve_app.data_plane.cluster import Cluster
from serve_app.data_plane.connections import Connections
from serve_app.data_plane.route import Route, Split, VersionStatus
from serve_app.errors import ModelNotFound, ModelNotReady, VersionNotFound
from serve_app.types import release_name

logger = logging.getLogger("serve_app.directory")

MIN_GAP_S = 0.2  # between two looks at the cluster, however many calls stall


class Directory:
    """The models of the traffic table and the routes to their ready versions.

    A version gets no traffic before the cluster calls its release ready and the release has described itself. If none
    of the versions a changed table wants is ready, those that answered before go on answering: old stays until new is
    ready.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._table: TrafficTable | None = None
        self._splits: dict[str, Split] = {}
        self._tags: dict[tuple[str, str], str] = {}
        self._sticky: dict[str, StickyConfig] = {}
        self._answered: dict[str, dict[str, float]] = {}
        self._wake, self._news = asyncio.Event(), asyncio.Event()
        self._connections = Connections(cluster, self._update_splits, self.look)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the served models."""
        return tuple(self._table.models) if self._table else ()

    @property
    def default_model(self) -> str | None:
        """The model of `POST /predict`."""
        return self._table.default_model if self._table else None

    def set_table(self, table: TrafficTable) -> None:
        """Take a new traffic table into use at once; versions new in it follow as soon as they are found ready."""
        self._table = table
        self._update_splits()
        self._wake.set()

    def look(self) -> None:
        """Have the cluster looked at out of turn."""
        self._wake.set()

    async def watch(self, period_s: float = 1.0) -> None:
        """Refresh for ever, every `period_s` seconds and whenever the table changed or a call stalls."""
        while True:
            self._wake.clear()
            try:
                await self.refresh()
            except Exception:  # the cluster may be away for a while; the last known routes stay in use
                logger.exception("could not refresh the state of the releases")
            await asyncio.sleep(MIN_GAP_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(period_s):  # not wait_for, which can swallow a cancellation (cpython #86296)
                    await self._wake.wait()

    async def refresh(self) -> None:
        """Ask the cluster once, connect to releases that became ready, leave those that no longer are.

        Raises:
            TimeoutError: The cluster did not answer.
        """
        await self._connections.refresh(
            lambda: {release_name(model, version) for model in self.models for version in self._versions(model)}
        )

    async def close(self) -> None:
        """Stop connecting to releases."""
        await self._connections.close()

    async def changed(self, within_s: float) -> None:
        """Return at the next change of routes or table.

        Raises:
            TimeoutError: There was none in `within_s` seconds.
        """
        news = self._news
        async with asyncio.timeout(within_s):
            await news.wait()

    def sticky(self, model: str) -> StickyConfig | None:
        """What keeps the model's users at one version; None where each request is drawn anew."""
        return self._sticky.get(model)

    def resolve(self, model: str, version: str, point: float, user: str = "") -> Route:
        """The route of one request.

        Args:
            model: A served model.
            version: A version tag or label that wins over the split, or empty.
            point: A number in [0, 1) that chooses among the split's shares.
            user: Who chooses among them instead: always the same one; empty for nobody.

        Raises:
            ModelNotFound: The table has no such model.
            VersionNotFound: The model has no such version tag or label.
            ModelNotReady: The version, or every version with traffic, is not ready.
        """
        if not version:
            split = self._splits.get(model)
            if split is None:
                raise ModelNotReady(model, "", self._why_none_is_ready(model, self._traffic(model)))
            tag = split.pick_for(model, user) if user else split.pick(point)
            return self._connections.routes[release_name(model, tag)]
        tag = self.version_of(model, version)
        route = self._connections.routes.get(release_name(model, tag))
        if route is None:
            raise ModelNotReady(model, tag, self._connections.reason(release_name(model, tag)))
        return route

    def version_of(self, model: str, name: str) -> str:
        """The version tag behind a tag or label.

        Raises:
            ModelNotFound: The table has no such model.
            VersionNotFound: The model has no such version tag or label.
        """
        tag = self._tags.get((model, name))
        if tag is None:
            traffic = self._traffic(model)
            raise VersionNotFound(model, name, (*sorted(traffic.versions), *sorted(traffic.labels)))
        return tag

    def versions(self, model: str) -> list[VersionStatus]:
        """Every version of a model with its state.

        Raises:
            ModelNotFound: The table has no such model.
        """
        traffic = self._traffic(model)
        split = self._splits.get(model)
        return [
            VersionStatus(
                model,
                version,
                self._connections.state(release_name(model, version)),
                self._connections.reason(release_name(model, version)),
                traffic.traffic.get(version, 0.0),
                round(split.share(version), 3) if split else 0.0,
                tuple(label for label, tag in traffic.labels.items() if tag == version),
            )
            for version in self._versions(model)
        ]

    def is_ready(self) -> bool:
        """Whether every model of the table can be answered."""
        return self._table is not None and set(self._splits) == set(self._table.models)

    def _traffic(self, model: str) -> ModelTraffic:
        if self._table is None or model not in self._table.models:
            raise ModelNotFound(model, self.models)
        return self._table.models[model]

    def _versions(self, model: str) -> tuple[str, ...]:
        """Version tags of the table, and those that answered before as long as none of the table's is ready."""
        traffic = self._traffic(model)
        before = () if self._ready(model, traffic.traffic) else self._answered.get(model, {})
        return tuple(sorted({*traffic.versions, *before}))

    def _why_none_is_ready(self, model: str, traffic: ModelTraffic) -> str:
        tags = [version for version, weight in traffic.traffic.items() if weight > 0]
        return "; ".join(f"{tag}: {self._connections.reason(release_name(model, tag))}" for tag in tags)

    def _update_splits(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
        models = self._table.models if self._table else {}
        self._splits = {
            model: split for model, traffic in models.items() if (split := self._split(model, traffic)) is not None
        }
        self._sticky = {model: traffic.sticky for model, traffic in models.items() if traffic.sticky}
        self._tags = {(model, tag): tag for model in models for tag in self._versions(model)}
        self._tags |= {
            (model, label): tag for model, traffic in models.items() for label, tag in traffic.labels.items()
        }

    def _split(self, model: str, traffic: ModelTraffic) -> Split | None:
        """The shares of the table's ready versions, else of those that answered before it and still can."""
        shares = self._ready(model, traffic.traffic)
        if shares:
            self._answered[model] = shares
        else:
            shares = self._ready(model, self._answered.get(model, {}))
        return Split(tuple(shares), tuple(accumulate(shares.values()))) if shares else None

    def _ready(self, model: str, weights: Mapping[str, float]) -> dict[str, float]:
        routes = self._connections.routes
        return {tag: weight for tag, weight in weights.items() if weight > 0 and release_name(model, tag) in routes}
