"""Builds the application `gateway`, the only one with a route."""

from __future__ import annotations

from ray import serve
from ray.serve import Application

from deployments.gateway import Gateway
from serve_app.config.gateway import GatewayArgs

MAX_ONGOING_REQUESTS = 4096  # Serve's own default of 5 would never let a batch fill
NUM_CPUS = 0.15  # a reservation, not a limit: the sample releases and a second version of each fit two cores


def build(args: dict[str, object]) -> Application:
    """The gateway; `args` follow `serve_app.config.gateway.GatewayArgs`, `user_config` its `TrafficTable`."""
    deployment = serve.deployment(serve.ingress()(Gateway))
    return deployment.options(
        max_ongoing_requests=MAX_ONGOING_REQUESTS,
        ray_actor_options={"num_cpus": NUM_CPUS},
        logging_config={"enable_access_log": False},  # our one structured line a request replaces Serve's
        health_check_period_s=2,
    ).bind(GatewayArgs.model_validate(args))
