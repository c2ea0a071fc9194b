"""Builds the application `gateway`, the only one with a route, and the controller of releases in it."""

from __future__ import annotations

from ray import serve
from ray.serve import Application

from deployments.gateway import Gateway
from deployments.releases import Releases
from serve_app.config.gateway import GatewayArgs, ReleasesConfig

MAX_ONGOING_REQUESTS = 4096  # Serve's own default of 5 would never let a batch fill
NUM_CPUS = 0.15  # a reservation, not a limit: the sample releases and a second version of each fit two cores
RELEASES_NUM_CPUS = 0.05  # likewise
RELEASES_MAX_ONGOING_REQUESTS = 256  # each gateway replica has one, and a few people


def build(args: dict[str, object]) -> Application:
    """The gateway; `args` follow `serve_app.config.gateway.GatewayArgs`, `user_config` its `TrafficTable`."""
    gateway_args = GatewayArgs.model_validate(args)
    deployment = serve.deployment(serve.ingress()(Gateway))
    return deployment.options(
        max_ongoing_requests=MAX_ONGOING_REQUESTS,
        ray_actor_options={"num_cpus": NUM_CPUS},
        logging_config={"enable_access_log": False},  # our one structured line a request replaces Serve's
        health_check_period_s=2,
    ).bind(gateway_args, _releases(gateway_args.releases))


def _releases(config: ReleasesConfig) -> Application:
    """One replica: there is one controller."""
    return (
        serve.deployment(Releases)
        .options(
            num_replicas=1,
            max_ongoing_requests=RELEASES_MAX_ONGOING_REQUESTS,
            ray_actor_options={"num_cpus": RELEASES_NUM_CPUS},
            logging_config={"enable_access_log": False},
            health_check_period_s=2,
        )
        .bind(config)
    )
