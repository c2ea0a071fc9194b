"""Tells URLs of every event, at least once each, from what the store says is still to be told."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence

import httpx

from serve_app.config.gateway import WebhookConfig
from serve_app.errors import ConfigError, ControllerAway
from serve_app.release.documents import line_of
from serve_app.release.records import Event
from serve_app.release.store import Delivery, Settled, Store

TIMEOUT_S = 10.0  # of one attempt, with connecting and reading
GIVE_UP_S = 24 * 3600.0  # after the event
FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 3600.0
MOST_AT_ONCE = 100  # events to one URL between two looks into the store
MOST_ANSWER_BYTES = 2**16  # of an answer that are read so that its connection can be used again

logger = logging.getLogger("serve_app.releases")


class Webhooks:
    """POSTs each event as JSON, signed where a secret is configured, one after the other to each URL.

    A receiver that is slow or away holds up none but itself: every URL has a task of its own. What became of an attempt
    is kept at the next call of `deliver_due`; a controller that dies before tells the event once more.

    Args:
        store: Opened with the URLs of `configs`.
        configs: Where to.
        secrets: By name of the environment variable that a config's `secret_env` names.
        clock: Seconds since 1970, for signatures and waits.
        random_point: Gives numbers in [0, 1), which spread attempts.

    Raises:
        ConfigError: A secret is missing.
    """

    def __init__(
        self,
        store: Store,
        configs: Sequence[WebhookConfig],
        secrets: Mapping[str, str],
        clock: Callable[[], float] = time.time,
        random_point: Callable[[], float] = random.random,
    ) -> None:
        self._store, self._clock, self._random_point = store, clock, random_point
        self._secrets = {config.url: _secret_of(config, secrets) for config in configs}
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False)
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._settled: list[Settled] = []
        self._is_asking = False

    async def deliver_due(self, now_s: float) -> int:
        """Begin to tell what is due, and give how many deliveries that is; returns before they are done.

        Never raises: without the store nothing is told, and what the store could not take is kept for the next call.
        """
        if self._is_asking or not self._secrets:
            return 0
        self._is_asking = True
        try:
            return await self._deliver_due(now_s)
        except ControllerAway as away:
            logger.warning("webhooks wait: %s", away.reason)
        except Exception:  # httpx's, the drivers' and DNS's errors share no base, and this promises not to raise
            logger.exception("webhooks failed")
        finally:
            self._is_asking = False
        return 0

    async def rest(self) -> None:
        """Wait until no attempt is under way."""
        await asyncio.gather(*self._under_way.values())

    async def close(self) -> None:
        """End attempts under way, which are made again later, and keep what became of the others."""
        for task in self._under_way.values():
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        await self._client.aclose()
        try:
            await self._settle()
        except ControllerAway as away:
            logger.warning("webhooks may be told some events again: %s", away.reason)

    async def _deliver_due(self, now_s: float) -> int:
        # Which URLs are at rest is looked at first: a task that ends meanwhile has not been settled yet.
        self._under_way = {url: task for url, task in self._under_way.items() if not task.done()}
        at_rest = [url for url in self._secrets if url not in self._under_way]
        await self._settle()
        due = await asyncio.to_thread(self._store.due, at_rest, now_s, MOST_AT_ONCE)
        for url in dict.fromkeys(delivery.url for delivery in due):
            mine = [delivery for delivery in due if delivery.url == url]
            self._under_way[url] = asyncio.create_task(self._tell_all(mine), name="webhook")
        return len(due)

    async def _settle(self) -> None:
        settled = self._settled[:]
        if settled:
            await asyncio.to_thread(self._store.settle, settled)
            del self._settled[: len(settled)]

    async def _tell_all(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            failure, is_away = await self._tell(delivery)
            self._settled.append(self._verdict(delivery, failure))
            if is_away:  # so would the next ones fail; they are still due
                return

    def _verdict(self, delivery: Delivery, failure: str) -> Settled:
        if not failure:
            return Settled(delivery)
        now_s, event, host = self._clock(), delivery.event, httpx.URL(delivery.url).host
        if now_s - event.time_s >= GIVE_UP_S:
            logger.error("webhook %s will never be told event %s (%s): %s", host, event.id, event.kind, failure)
            return Settled(delivery)
        wait_s = _wait_s(delivery.attempts, self._random_point())
        logger.warning("webhook %s was not told event %s, again in %.0f s: %s", host, event.id, wait_s, failure)
        return Settled(delivery, now_s + wait_s)

    async def _tell(self, delivery: Delivery) -> tuple[str, bool]:
        """Why it failed, empty if it did not, and whether other events would fail as well."""
        try:
            status = await self._post(delivery)
        except (TimeoutError, httpx.TimeoutException):
            return f"no answer within {TIMEOUT_S:g} s", True
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return str(error) or type(error).__name__, True
        except Exception as error:  # this event cannot be sent as it is; others can
            logger.exception("event %s", delivery.event.id)
            return type(error).__name__, False
        return ("", False) if 200 <= status < 300 else (f"status {status}", status >= 500 or status == 429)

    async def _post(self, delivery: Delivery) -> int:
        """The answer's status, which counts even if the rest of the answer never comes."""
        body = line_of(delivery.event)
        headers = _headers(delivery.event, body, int(self._clock()), self._secrets[delivery.url])
        status, size = 0, 0
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._client.stream("POST", delivery.url, content=body, headers=headers) as response,
            ):
                status = response.status_code
                async for chunk in response.aiter_raw():
                    size += len(chunk)
                    if size > MOST_ANSWER_BYTES:
                        break
        except (TimeoutError, httpx.HTTPError):
            if not status:
                raise
        return status


def _secret_of(config: WebhookConfig, secrets: Mapping[str, str]) -> bytes:
    """Empty if events are not signed."""
    if config.secret_env is None:
        return b""
    if not secrets.get(config.secret_env):
        raise ConfigError(f"the secret of webhook {httpx.URL(config.url).host} is missing: set {config.secret_env}")
    return secrets[config.secret_env].encode()


def _headers(event: Event, body: bytes, timestamp_s: int, secret: bytes) -> dict[str, str]:
    headers = {
        "content-type": "application/json",
        "x-serve-app-event": event.kind,
        "x-serve-app-delivery": event.id,
        "x-serve-app-timestamp": str(timestamp_s),
    }
    if secret:
        digest = hmac.new(secret, f"{timestamp_s}.".encode() + body, hashlib.sha256).hexdigest()
        headers["x-serve-app-signature"] = f"sha256={digest}"
    return headers


def _wait_s(attempts: int, point: float) -> float:
    """Doubles with each attempt, and is spread over its upper half."""
    longest_s: float = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(attempts, 30))
    return longest_s * (1 + point) / 2
