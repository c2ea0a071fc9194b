"""What is read of Serve's details, and what is applied, without a cluster."""

from __future__ import annotations

import json

import pytest
from ray.serve.schema import ApplicationStatus

from deployments.applications import ServeApplications, declared

ARGS = {"model": "digits", "version": "v1", "source": "models/digits/v1"}
SCALING = {
    "min_replicas": 1,
    "max_replicas": 2,
    "policy": {"policy_function": "deployments.autoscaling:RowAwarePolicy"},
}


def config(name: str, **more) -> dict[str, object]:
    return {"name": name, "route_prefix": None, "import_path": "graphs.inference:build", "args": ARGS, **more}


def details(**statuses: ApplicationStatus) -> dict[str, object]:
    applications = {
        name: {"status": status, "deployed_app_config": config(name), "deployments": {}}
        for name, status in statuses.items()
    }
    return {"target_capacity": 50.0, "applications": applications}


def test_every_application_of_a_file_is_there_but_those_that_go():
    told = details(a=ApplicationStatus.RUNNING, b=ApplicationStatus.DELETING, c=ApplicationStatus.DEPLOY_FAILED)
    told["applications"]["by-hand"] = {"status": ApplicationStatus.RUNNING, "deployed_app_config": None}
    assert declared(told) == {"a": config("a"), "c": config("c")}


def test_a_configuration_is_what_was_written_and_survives_json():
    written = config("a", deployments=[{"name": "digits", "autoscaling_config": SCALING, "user_config": {"slo_ms": 5}}])
    told = {"applications": {"a": {"status": ApplicationStatus.RUNNING, "deployed_app_config": written}}}
    assert json.loads(json.dumps(declared(told)["a"])) == written


class Serve:
    """Serve's client, which notes what it is given."""

    def __init__(self) -> None:
        self.deployed: list[dict[str, object]] = []

    def get_serve_details(self):
        return details(a=ApplicationStatus.RUNNING, b=ApplicationStatus.RUNNING, c=ApplicationStatus.DELETING)

    def deploy_apps(self, schema):
        self.deployed.append(schema.model_dump(exclude_unset=True))


@pytest.fixture
def serve():
    return Serve()


async def test_the_whole_is_applied_with_the_change_in_it(serve):
    applications = ServeApplications(lambda: serve)
    changed = config("b", deployments=[{"name": "digits", "num_replicas": 2}])
    await applications.deploy([changed, config("d")])
    await applications.delete(["a", "nobody"])
    assert serve.deployed == [
        {"applications": [config("a"), changed, config("d")], "target_capacity": 50.0},
        {"applications": [config("b")], "target_capacity": 50.0},
    ]


async def test_what_changes_nothing_is_not_applied(serve):
    applications = ServeApplications(lambda: serve)
    await applications.deploy([config("a")])
    await applications.delete(["c", "nobody"])
    assert serve.deployed == []
