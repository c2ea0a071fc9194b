"""A whole gateway in this process, over releases that need no files."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from prometheus_client import CollectorRegistry, generate_latest

from serve_app.config.gateway import LimitsConfig, TrafficTable
from serve_app.data_plane.cluster import Cluster
from serve_app.data_plane.plane import DataPlane, Options
from serve_app.observability.metrics import NoMetrics
from serve_app.observability.request_log import RequestLog
from serve_app.transport.admin import Admin
from serve_app.transport.asgi import GatewayAsgi
from serve_app.transport.http import InferHandler
from serve_app.transport.pages import Pages


def table(default_model: str | None = None, **models: dict[str, object]) -> TrafficTable:
    return TrafficTable.model_validate({"default_model": default_model, "models": models})


async def scrape() -> bytes:
    return generate_latest(CollectorRegistry())


@asynccontextmanager
async def plane_of(
    cluster: Cluster,
    traffic: TrafficTable,
    limits: LimitsConfig | None = None,
    metrics=None,
    random_point=random.random,
    **options,
):
    log = RequestLog(NoMetrics() if metrics is None else metrics)
    plane = DataPlane(cluster, limits or LimitsConfig(), log, random_point, Options(**options))
    plane.set_table(traffic)
    await plane.directory.refresh()
    try:
        yield plane
    finally:
        await plane.close()


@asynccontextmanager
async def client_of(plane: DataPlane, admin: Admin | None = None) -> AsyncIterator[httpx.AsyncClient]:
    app = GatewayAsgi(InferHandler(plane), Pages(plane, scrape, admin).app, plane.limits)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client
