"""Call models from any Ray job on the cluster, through the gateway, so that traffic splits apply.

digits = connect("digits")                                  # or version="v2", label="canary"
outputs = await digits.infer(pixels=array)                  # dict of NumPy arrays
outputs = digits.infer_sync(pixels=array)                   # the same without an event loop
response = await digits.explain(pixels=array)               # with response.visits: what was done for it, node by node
async for outputs in words.stream(text=array): ...          # a decoupled model's responses, each as it comes
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

import numpy as np
from ray import serve
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.handle import DeploymentHandle

from serve_app.errors import ReplicaLost, ServeAppError
from serve_app.types import Array, InferenceRequest, InferenceResponse

GATEWAY = "gateway"


class ModelClient:
    """One model, or one version of it.

    Args:
        handle: A handle of the gateway application.
        model: A served model.
        version: A version tag or label; empty lets the traffic split choose.
    """

    def __init__(self, handle: DeploymentHandle, model: str, version: str) -> None:
        self._handle, self._model, self._version = handle, model, version

    async def infer(self, *, timeout_s: float | None = None, user: str = "", **inputs: Array) -> dict[str, Array]:
        """Answer named arrays of 1..n rows each with the model's outputs, as many rows each.

        Args:
            timeout_s: Seconds until the answer is of no more use; None takes the release's.
            user: Who is kept at one version if the model has `sticky`; empty leaves it to the inputs, or to chance.
            inputs: Every input of the signature, with its dtype.

        Raises:
            RequestError: The inputs do not fit the model; the message names which and why.
            CapacityError: Refused or lost; may be repeated.
            ModelFailure: The model raised.
        """
        try:
            response: InferenceResponse = await self._handle.infer.remote(self._request(inputs, timeout_s, user))
        except (RayTaskError, RayActorError) as error:
            raise _own(error) from None
        return dict(response.outputs)

    def infer_sync(self, *, timeout_s: float | None = None, user: str = "", **inputs: Array) -> dict[str, Array]:
        """As `infer`, blocking; not for use inside an event loop."""
        try:
            response: InferenceResponse = self._handle.infer.remote(self._request(inputs, timeout_s, user)).result()
        except (RayTaskError, RayActorError) as error:
            raise _own(error) from None
        return dict(response.outputs)

    async def explain(self, *, timeout_s: float | None = None, user: str = "", **inputs: Array) -> InferenceResponse:
        """As `infer`, with what was done for it: the response's `visits`, `timings` and `left_out`.

        Raises:
            Forbidden: The gateway's `args.explain` does not allow it.
            RequestError, CapacityError, ModelFailure: As `infer`.
        """
        request = replace(self._request(inputs, timeout_s, user), explain=True)
        try:
            response: InferenceResponse = await self._handle.infer.remote(request)
        except (RayTaskError, RayActorError) as error:
            raise _own(error) from None
        return response

    async def stream(
        self, *, timeout_s: float | None = None, user: str = "", **inputs: Array
    ) -> AsyncGenerator[dict[str, Array], None]:
        """As `infer`, for a model with any number of responses: each as it comes. To close it stops the model's work.

        Args:
            timeout_s: Seconds until the first response is of no more use; None takes the release's.
            user: As of `infer`.
            inputs: As of `infer`.

        Raises:
            RequestError, CapacityError, ModelFailure: As `infer`; also behind some of the responses.
        """
        responses = self._handle.options(stream=True).stream.remote(self._request(inputs, timeout_s, user))
        try:
            async for response in responses:
                yield dict(response.outputs)
        except (RayTaskError, RayActorError) as error:
            raise _own(error) from None
        finally:
            responses.cancel()

    def _request(self, inputs: dict[str, Array], timeout_s: float | None, user: str) -> InferenceRequest:
        arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        return InferenceRequest(self._model, arrays, self._version, timeout_s=timeout_s, user=user)


def connect(model: str, version: str = "", label: str = "") -> ModelClient:
    """A client of a model served on the Ray cluster that this process belongs to (`ray.init(address="auto")` first).

    Args:
        model: A served model.
        version: A version tag that wins over the traffic split.
        label: A label such as `stable` that does, instead of `version`.

    Raises:
        ValueError: Both `version` and `label` are given.
        ray.serve.exceptions.RayServeException: The cluster runs no gateway.
    """
    if version and label:
        raise ValueError(f"give a version or a label, not both: {version!r} and {label!r}")
    return ModelClient(serve.get_app_handle(GATEWAY), model, version or label)


def _own(error: RayTaskError | RayActorError) -> Exception:
    """The error that the gateway raised, out of Ray's wrapping."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, ServeAppError):
        return cause
    return ReplicaLost(GATEWAY) if isinstance(error, RayActorError) else error
