"""What Ray gives back of a deployed file compares as the same, so that an unchanged file needs no deployment."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

from serve_app.release.applications import Change, RunningApplication, step

pytestmark = pytest.mark.filterwarnings("ignore:The `metrics_interval_s` field:DeprecationWarning")  # of Ray

ROOT = Path(__file__).parents[3]
DATA = yaml.safe_load((ROOT / "configs/prod.yaml").read_text())
ODD = {
    "name": "odd",
    "route_prefix": None,
    "import_path": "graphs.inference:build",
    "runtime_env": {"env_vars": {"A": "1"}},
    "args": {"model": "odd", "version": "v1", "source": "x", "batching": {"max_rows": 8}},
    "logging_config": {"log_level": "DEBUG", "encoding": "JSON"},
    "deployments": [
        {
            "name": "odd",
            "num_replicas": 2,
            "graceful_shutdown_timeout_s": 5,
            "ray_actor_options": {"num_cpus": 1, "resources": {"a": 1}},
            "user_config": {"slo_ms": 5, "1": None},
        }
    ],
}


def dumped(application, data):
    """As the controller keeps an application of a file and the dashboard tells it."""
    config = ServeDeploySchema.model_validate(deepcopy({**data, "applications": [application]}))
    (app,) = config.applications
    if app.logging_config is None and config.logging_config:
        app.logging_config = config.logging_config
    kept = ServeApplicationSchema.model_validate(app.model_dump(exclude_unset=True))
    return json.loads(json.dumps(kept.model_dump(exclude_unset=True)))


@pytest.mark.parametrize("logging", [{}, {"logging_config": {"log_level": "INFO"}}])
@pytest.mark.parametrize("application", [*DATA["applications"], ODD], ids=lambda application: application["name"])
def test_an_application_is_the_same_after_ray_kept_it(application, logging):
    data = {**DATA, **logging}
    running = RunningApplication(application["name"], dumped(application, data), "RUNNING")
    assert step(running, application, data).change is Change.KEEP


def test_what_ray_told_can_be_deployed_again():
    for application in [*DATA["applications"], ODD]:
        told = dumped(application, DATA)
        assert dumped(told, DATA) == told
