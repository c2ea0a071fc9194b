"""Which version answers a request: the traffic in effect over the releases that can be called now."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from itertools import accumulate

from serve_app.config.gateway import TrafficTable
from serve_app.config.rollout import StickyConfig
from serve_app.data_plane.cluster import Cluster
from serve_app.data_plane.connections import Connections
from serve_app.data_plane.in_effect import InEffect, in_effect
from serve_app.data_plane.route import Route, Split, VersionStatus
from serve_app.errors import ModelNotFound, ModelNotReady, VersionNotFound
from serve_app.release.messages import LiveTable
from serve_app.types import release_name

logger = logging.getLogger("serve_app.directory")

MIN_GAP_S = 0.2  # between two looks at the cluster, however many calls stall


class Directory:
    """The models of the traffic table and the routes to their ready versions.

    A version gets no traffic before the cluster calls its release ready and the release has described itself. If none
    of the versions a changed table wants is ready, those that answered before go on answering: old stays until new is
    ready. So does the version that a label meant before.

    Attributes:
        table: The declared one; None before the first.
        live: What the controller wants instead, for models whose declared entry it knows.
        fingerprints: Of the declared entries, by model.
        in_effect: What holds, by model.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.table: TrafficTable | None = None
        self.live = LiveTable()
        self.fingerprints: Mapping[str, str] = {}
        self.in_effect: Mapping[str, InEffect] = {}
        self._splits: dict[str, Split] = {}
        self._tags: dict[tuple[str, str], str] = {}
        self._meant: dict[tuple[str, str], str] = {}  # the last ready version that a label meant
        self._sticky: dict[str, StickyConfig] = {}
        self._answered: dict[str, dict[str, float]] = {}
        self._wake, self._news = asyncio.Event(), asyncio.Event()
        self._connections = Connections(cluster, self._update_splits, self.look)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the served models."""
        return tuple(self.in_effect)

    @property
    def default_model(self) -> str | None:
        """The model of `POST /predict`."""
        return self.table.default_model if self.table else None

    def set_table(self, table: TrafficTable) -> None:
        """Take a new traffic table into use at once; versions new in it follow as soon as they are found ready."""
        fingerprints = {model: declared.fingerprint for model, declared in table.models.items()}
        self._take_effect(table, fingerprints, self.live)

    def set_live(self, live: LiveTable) -> None:
        """Have the controller's table in effect at once, for the models whose declared entry it stands in for."""
        if self.table is not None and live.models != self.live.models:
            self._take_effect(self.table, self.fingerprints, live)
        self.live = live

    def look(self) -> None:
        """Have the cluster looked at out of turn."""
        self._wake.set()

    async def watch(self, period_s: float = 1.0) -> None:
        """Refresh for ever, every `period_s` seconds and whenever the table changed or a call stalls."""
        while True:
            self._wake.clear()
            try:
                await self.refresh()
            except Exception:  # Ray's errors have no base the core knows, and a watch that ends is deaf for ever
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
        await self._connections.refresh(self._releases)

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
        route = self.route(model, tag)
        if route is None:
            raise ModelNotReady(model, tag, self._connections.reason(release_name(model, tag)))
        return route

    def answering(self, model: str) -> list[Route]:
        """The routes of all versions that get traffic of a model now."""
        split = self._splits.get(model)
        return [self._connections.routes[release_name(model, tag)] for tag in split.versions] if split else []

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
                tuple(label for label in traffic.labels if self._tags.get((model, label)) == version),
            )
            for version in self._versions(model)
        ]

    def is_ready(self) -> bool:
        """Whether every model of the table can be answered."""
        return self.table is not None and set(self._splits) == set(self.in_effect)

    def is_settled(self) -> bool:
        """Whether all that the cluster has ready for the table can be answered, whatever is not there yet."""
        return self.table is not None and self._connections.is_settled(self._releases())

    def route(self, model: str, version: str) -> Route | None:
        """The route to a version tag, if it is ready."""
        return self._connections.routes.get(release_name(model, version))

    def _take_effect(self, table: TrafficTable, fingerprints: Mapping[str, str], live: LiveTable) -> None:
        self.in_effect = {
            model: in_effect(model, declared, fingerprints[model], live.models.get(model))
            for model, declared in table.models.items()
        }
        self.table, self.fingerprints, self.live = table, fingerprints, live
        self._update_splits()
        self._wake.set()

    def _releases(self) -> set[str]:
        return {release_name(model, version) for model in self.models for version in self._versions(model)}

    def _traffic(self, model: str) -> InEffect:
        traffic = self.in_effect.get(model)
        if traffic is None:
            raise ModelNotFound(model, self.models)
        return traffic

    def _versions(self, model: str) -> tuple[str, ...]:
        """Version tags of the table, and those that go on for one of the table's that is not ready."""
        traffic = self._traffic(model)
        before = () if self._ready(model, traffic.traffic) else self._answered.get(model, {})
        meant = {
            self._meant.get((model, label), tag) for label, tag in traffic.labels.items() if not self.route(model, tag)
        }
        return tuple(sorted({*traffic.versions, *before, *meant}))

    def _meaning(self, model: str, label: str, tag: str) -> str:
        """The version a label means: the table's, unless that is not ready and the one before is."""
        before = self._meant.get((model, label), tag)
        return before if self.route(model, before) and not self.route(model, tag) else tag

    def _why_none_is_ready(self, model: str, traffic: InEffect) -> str:
        tags = [version for version, weight in traffic.traffic.items() if weight > 0]
        return "; ".join(f"{tag}: {self._connections.reason(release_name(model, tag))}" for tag in tags)

    def _update_splits(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
        self._splits = {
            model: split
            for model, traffic in self.in_effect.items()
            if (split := self._split(model, traffic)) is not None
        }
        models = self.table.models if self.table else {}
        self._sticky = {model: traffic.sticky for model, traffic in models.items() if traffic.sticky}
        self._tags = {(model, tag): tag for model in self.in_effect for tag in self._versions(model)}
        labels = {
            (model, label): self._meaning(model, label, tag)
            for model, traffic in self.in_effect.items()
            for label, tag in traffic.labels.items()
        }
        self._tags |= labels
        before = {key: tag for key, tag in self._meant.items() if key in labels}
        self._meant = before | {(model, label): tag for (model, label), tag in labels.items() if self.route(model, tag)}

    def _split(self, model: str, traffic: InEffect) -> Split | None:
        """The shares of the ready versions in effect, else of those that answered before it and still can."""
        shares = self._ready(model, traffic.traffic)
        if shares:
            self._answered[model] = shares
        else:
            shares = self._ready(model, self._answered.get(model, {}))
        return Split(tuple(shares), tuple(accumulate(shares.values()))) if shares else None

    def _ready(self, model: str, weights: Mapping[str, float]) -> dict[str, float]:
        return {tag: weight for tag, weight in weights.items() if weight > 0 and self.route(model, tag)}
