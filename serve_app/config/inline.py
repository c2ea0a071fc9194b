"""A release inside the gateway's replicas: the traffic table says what an application's `args` say of others."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from serve_app.config.graph import GraphConfig
from serve_app.config.release import ReleaseArgs, ReleaseSettings

LIGHT_KINDS = frozenset({"transform", "model", "ensemble", "cascade", "switch", "split", "fallback"})
"""Nodes that run where they are asked; whatever else there is waits for others or wants resources of its own."""


class InlineRelease(ReleaseSettings):
    """A version that every gateway replica loads and executes itself, on the CPU."""

    accelerator: Literal["auto", "cpu", "gpu"] = "cpu"

    @field_validator("accelerator")
    @classmethod
    def _needs_no_gpu(cls, accelerator: str) -> str:
        if accelerator == "gpu":
            raise ValueError("gpu: inside the gateway a release runs on the CPU; make it an application of its own")
        return accelerator

    @field_validator("graph")
    @classmethod
    def _is_light(cls, graph: GraphConfig | None) -> GraphConfig | None:
        for node in graph.nodes if graph else ():
            if node.kind not in LIGHT_KINDS:
                raise ValueError(f"node {node.name!r} is {node.kind}, which cannot run inside the gateway")
        return graph

    def args(self, model: str, version: str) -> ReleaseArgs:
        """The same as the args of an application would say it."""
        given = {name: getattr(self, name) for name in self.model_fields_set} | {"accelerator": "cpu"}
        return ReleaseArgs(model=model, version=version, **given)
