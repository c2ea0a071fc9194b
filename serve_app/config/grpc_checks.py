"""What `grpc_options` of a serve file serve: functions that Ray imports, whose messages the gateway must know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from serve_app.config.located import KeyPath, at
from serve_app.config.unknown_keys import Finding

SERVICER_FUNCTION = "deployments.grpc.add_inference_service"

_FUNCTIONS: KeyPath = ("grpc_options", "grpc_servicer_functions")
_STUB = "add_GRPCInferenceServiceServicer_to_server"  # as every client's generated code has it


def grpc_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield every servicer function that would serve V2 with messages that cannot travel to the gateway."""
    functions = at(data, _FUNCTIONS)
    for index, function in enumerate(functions if isinstance(functions, list) else ()):
        if isinstance(function, str) and function.endswith(_STUB):
            yield (*_FUNCTIONS, index), f"the gateway cannot read the stubs' own messages; use {SERVICER_FUNCTION}"
