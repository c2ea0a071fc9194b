"""A release inside the gateway's replicas: the traffic table says what an application's `args` say of others."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from serve_app.config.graph import GraphConfig
from serve_app.config.release import ReleaseArgs, ReleaseSettings

_APART = "make the release an application of its own"


class InlineRelease(ReleaseSettings):
    """A version that every gateway replica loads and executes itself, on the CPU."""

    accelerator: Literal["auto", "cpu", "gpu"] = "cpu"

    @field_validator("accelerator")
    @classmethod
    def _needs_no_gpu(cls, accelerator: str) -> str:
        if accelerator == "gpu":
            raise ValueError(f"gpu: inside the gateway a release runs on the CPU; {_APART}")
        return accelerator

    @field_validator("gpu_memory_mib")
    @classmethod
    def _takes_none_of_one(cls, memory: int | None) -> int | None:
        if memory is not None:
            raise ValueError(f"has no effect inside the gateway, where a release runs on the CPU; {_APART}")
        return memory

    @field_validator("graph")
    @classmethod
    def _is_light(cls, graph: GraphConfig | None) -> GraphConfig | None:
        for node in graph.remotes if graph else ():
            raise ValueError(f"node {node.name!r} waits for another server, not in the gateway; {_APART}")
        for own in graph.own if graph else ():
            asks = own.why_own or f"placement {own.placement}"
            raise ValueError(f"node {own.name!r} ({asks}) needs replicas of its own; {_APART}")
        return graph

    def args(self, model: str, version: str) -> ReleaseArgs:
        """The same as the args of an application would say it."""
        given = {name: getattr(self, name) for name in self.model_fields_set} | {"accelerator": "cpu"}
        return ReleaseArgs(model=model, version=version, **given)
