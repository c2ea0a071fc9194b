"""One scrape for a whole cluster: reads every node's exporter and merges what concerns serving."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence

import httpx
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from serve_app.observability.metrics import METRICS, Kind

logger = logging.getLogger("serve_app.scrape")

PREFIXES = ("ray_serve_", "serve_")
TIMEOUT_S = 5.0
_HISTOGRAM_PARTS = {
    f"ray_{metric.name}_{part}": (f"ray_{metric.name}", "histogram")
    for metric in METRICS
    if metric.kind is Kind.HISTOGRAM
    for part in ("bucket", "sum", "count")
}
"""Our histograms reach the nodes' exporters as three gauges each (see `aggregate.py`); here they are one family."""


async def scrape_nodes(exporters: Sequence[str], prefixes: tuple[str, ...] = PREFIXES) -> bytes:
    """The serving metrics of all nodes in Prometheus' text format.

    Args:
        exporters: URLs of the nodes' exporters. One that does not answer within 5 s is left out and logged.
        prefixes: Which metric families to keep, by the start of their names.

    Returns:
        Families by name, with the samples of all nodes under each.
    """
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
        texts = await asyncio.gather(*(_fetch(client, url) for url in exporters))
    return await asyncio.to_thread(merge, texts, prefixes)


def merge(texts: Iterable[str], prefixes: tuple[str, ...] = PREFIXES) -> bytes:
    """Expositions of several nodes as one; a family keeps the help and type of its first appearance.

    A text that is not Prometheus' format is left out as a whole and logged.
    """
    families: dict[str, Family] = {}
    for text in texts:
        try:
            parsed = list(text_string_to_metric_families(text))
        except ValueError as error:
            logger.warning("an exporter's metrics are left out: %s", error)
            continue
        for family in parsed:
            if family.name.startswith(prefixes):
                name, kind = _HISTOGRAM_PARTS.get(family.name, (family.name, family.type))
                known = families.setdefault(name, Family(name, family.documentation, kind))
                known.samples.extend(family.samples)
    registry = CollectorRegistry()
    registry.register(_Families(families.values()))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, families: Iterable[Family]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Family]:
        """The families, as a registry asks for them."""
        yield from self._families


async def _fetch(client: httpx.AsyncClient, url: str) -> str:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            response = await client.get(url)
        response.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        logger.warning("no metrics from %s: %s", url, error)
        return ""
    return response.text


def bracketed(address: str) -> str:
    """An IP address as a URL's host: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address
