"""From what a release computed to the response that its caller gets."""

from __future__ import annotations

from serve_app.data_plane.explaining import visits_of
from serve_app.data_plane.route import Route
from serve_app.types import EntryResult, InferenceRequest, InferenceResponse, ReleaseInfo, Tensors


def response_of(
    route: Route, request: InferenceRequest, outputs: Tensors, result: EntryResult, queued_s: float = 0.0
) -> InferenceResponse:
    """The response to a request.

    Args:
        route: To the release that answered.
        request: As it was decoded.
        outputs: Those that the caller gets.
        result: What the release says about the request, without an error.
        queued_s: Seconds that it waited in the gateway.
    """
    return InferenceResponse(
        request.model_name,
        route.info.version,
        outputs,
        route.info.prediction,
        request.id,
        request.request_id,
        result.timings,
        queued_s,
        result.left_out,
        visits_of(result, route.info, request.rows) if request.explain else (),
    )


def wanted(outputs: Tensors, request: InferenceRequest, info: ReleaseInfo) -> Tensors:
    """The outputs that the request names, in its order, or all in the signature's."""
    names = request.outputs or tuple(spec.name for spec in info.outputs)
    return {name: outputs[name] for name in names}
