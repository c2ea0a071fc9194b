"""What the data plane needs of whatever runs the releases: Ray Serve, or this very process."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from serve_app.types import Block, BlockReply, ReleaseInfo, ReleaseStatistics

ANSWERING = ("RUNNING", "UPDATING", "PENDING_MIGRATION")
"""States of a replica, in Serve's words, in which it takes calls: also one that is given another `user_config`, and one
whose machine is about to go."""

_NOT_ASKED_YET = "RECOVERING"  # by a controller of Serve that was started again: it goes on answering as it did before


class ReleaseState(StrEnum):
    """How far a release is, in the words of Triton's repository index."""

    READY = "READY"
    LOADING = "LOADING"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class ReleaseStatus:
    """One release as the cluster sees it.

    Attributes:
        reason: Why it is not ready, in a sentence for the operator; empty when it is.
        replicas: Replicas that can take a block now.
        stopping: Replicas that take no more but may still answer what they have.
        is_inline: Whether it runs in the gateway's own process; where that changes, a new client is needed.
    """

    state: ReleaseState
    reason: str = ""
    replicas: int = 0
    stopping: int = 0
    is_inline: bool = False


def status_of_application(
    application: str, status: str, message: str, deployments: Mapping[str, tuple[str, Mapping[str, int]]]
) -> ReleaseStatus:
    """Read what Ray Serve says about one application.

    Args:
        application: Its name.
        status: Serve's application status, e.g. `RUNNING` or `DEPLOY_FAILED`.
        message: What Serve says beside it; may hold a stack trace.
        deployments: Message and number of replicas by state of each of the application's deployments.

    Returns:
        READY while the deployment that is called has a replica that passed its checks: an application that is tuned,
        growing, shrinking, moving or replacing a dead replica goes on serving with those it has, and so does each
        while Serve's controller is started again. A graph's head passes them only with the nodes that run on their
        own, and says itself which of these have died since.
    """
    _, states = deployments.get(head_of_application(application, deployments), ("", {}))
    replicas = sum(states.get(state, 0) for state in (*ANSWERING, _NOT_ASKED_YET))
    stopping = states.get("STOPPING", 0)
    if status in ("DELETING", "NOT_STARTED"):
        reason = f"the application is {status.lower().replace('_', ' ')}"
        return ReleaseStatus(ReleaseState.UNAVAILABLE, reason, replicas, stopping)
    if replicas > 0:
        return ReleaseStatus(ReleaseState.READY, "", replicas, stopping)
    reason = "; ".join(filter(None, (last_sentence(text) for text, _ in deployments.values())))
    if status == "DEPLOYING":
        return ReleaseStatus(ReleaseState.LOADING, reason or "it is starting", stopping=stopping)
    reason = reason or last_sentence(message) or f"the application is {status.lower().replace('_', ' ')}"
    return ReleaseStatus(ReleaseState.UNAVAILABLE, reason, stopping=stopping)


def head_of_application(application: str, deployments: Iterable[str]) -> str:
    """The deployment that takes the calls: it is named as the model, the application `{model}-{version}`."""
    named = [name for name in deployments if application.startswith(f"{name}-") or application == name.lower()]
    return max(named, key=len, default=next(iter(deployments), ""))


def last_sentence(message: str) -> str:
    """The last line of a stack trace without its exception's module, cut to 500 characters; else the whole message."""
    lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
    if not lines:
        return ""
    traced = any(line.startswith("Traceback") or line.startswith("File ") for line in lines)
    sentence = re.sub(r"^(?:\w+\.)+(?=\w+:)", "", lines[-1]) if traced else " ".join(lines)
    return sentence[:500]


class ReleaseClient(Protocol):
    """The way to one release."""

    async def describe(self) -> ReleaseInfo:
        """What the release says about itself; it only answers once it is loaded, warm and checked."""

    async def statistics(self) -> ReleaseStatistics:
        """What all its replicas have executed, added up."""

    async def infer(self, blocks: tuple[Block, ...], reply_bytes: int) -> tuple[BlockReply, ...]:
        """Have a replica execute blocks, which differ in their tensors' shapes.

        Args:
            blocks: Rows and their owners.
            reply_bytes: About how many bytes the replies will have.

        Raises:
            ReplicaLost: The replica died before it answered.
        """

    def stream(self, block: Block) -> AsyncGenerator[BlockReply, None]:
        """Have a replica of a decoupled model answer one request; closing it stops the work there.

        Args:
            block: One entry with its rows.

        Returns:
            A reply for each response, each with one result; one with an error is the last.

        Raises:
            ReplicaLost: The replica died before the last response.
        """

    def close(self) -> None:
        """Nobody calls the release over this client any more; streams under way go on."""


class Cluster(Protocol):
    """All releases that could be called."""

    async def statuses(self) -> Mapping[str, ReleaseStatus]:
        """Every release the cluster knows, by name."""

    def client(self, release: str) -> ReleaseClient:
        """The way to a release that `statuses` called READY."""
