"""The V2 parameters that mean something to this server, and those of its answers, the same for REST and gRPC."""

from __future__ import annotations

from serve_app.errors import InvalidInput
from serve_app.protocol.call import flag_of
from serve_app.protocol.explanation import said_explanation
from serve_app.protocol.json_tensor import kind_name
from serve_app.types import DEFAULT_PRIORITY, MAX_PRIORITY, InferenceResponse, Parameters


def timeout_s(parameters: Parameters, header_s: float | None) -> float | None:
    """Seconds the answer may take: the smaller of the `timeout` parameter, in microseconds, and the header's.

    Raises:
        InvalidInput: The parameter is no whole number.
    """
    timeout_us = parameters.get("timeout")
    if timeout_us is None:
        return header_s
    if isinstance(timeout_us, bool) or not isinstance(timeout_us, int):
        raise InvalidInput("parameter 'timeout'", f"is {str(timeout_us)[:40]!r}, must be whole microseconds")
    return timeout_us / 1e6 if header_s is None else min(timeout_us / 1e6, header_s)


def priority(parameters: Parameters) -> int:
    """The request's level within [1, MAX_PRIORITY].

    Raises:
        InvalidInput: The parameter is no such number.
    """
    level = parameters.get("priority", 0)
    if type(level) is not int or not 0 <= level <= MAX_PRIORITY:  # a boolean is an int too
        reason = f"is {kind_name(level)}, must be a whole number from 0 (the default) to {MAX_PRIORITY}"
        raise InvalidInput("parameter 'priority'", reason)
    return level or DEFAULT_PRIORITY


def explain(parameters: Parameters, is_told: bool) -> bool:
    """Whether the answer is to be explained: the headers or the URL say so, or the parameter `explain`.

    Raises:
        InvalidInput: The parameter is neither true nor false.
    """
    if "explain" not in parameters:
        return is_told
    value = parameters["explain"]
    return flag_of(str(value).lower() if isinstance(value, bool) else str(value), "parameter 'explain'") or is_told


def answered(response: InferenceResponse) -> dict[str, str]:
    """The answer's own parameters: what it was made without, and its explanation, where there is something to say."""
    said: dict[str, str] = {}
    if response.left_out:
        said["left_out"] = "; ".join(f"{name}: {reason}" for name, reason in response.left_out.items())
    if response.visits:
        said["explanation"] = said_explanation(response)
    return said
