"""The examples of docs/releases.md as they stand there: entries of the table, commands, the check of a signature."""

from __future__ import annotations

import hashlib
import hmac
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml
from support.records import event
from support.release_world import release, serve_file

from deployments.ray_schema import ray_findings
from serve_app.cli.app import build_app
from serve_app.config.gateway import GatewayArgs, ModelTraffic
from serve_app.config.rollout import RolloutConfig
from serve_app.config.serve_file import check_serve_file
from serve_app.release.documents import line_of
from serve_app.release.webhooks import _headers

PAGE = (Path(__file__).parents[3] / "docs/releases.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.S)
YAML = [yaml.safe_load(text) for language, text in BLOCKS if language == "yaml"]
ENTRIES = [block for block in YAML if "args" not in block]
COMMANDS = re.findall(r"^\$ serve-app (.*)$", PAGE, re.M)


def applications(models: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A release for every version that the entries name."""
    read = {model: ModelTraffic.model_validate(entry) for model, entry in models.items()}
    return [release(model, version) for model, entry in read.items() for version in sorted(entry.versions)]


@pytest.mark.parametrize("models", ENTRIES, ids=str)
def test_every_entry_is_good_in_a_serve_file(models, tmp_path):
    file = tmp_path / "example.yaml"
    file.write_text(yaml.safe_dump(serve_file(models, applications(models)), sort_keys=False))
    assert check_serve_file(file, [ray_findings]) == []


def test_every_strategy_has_an_example():
    rollouts = [entry["rollout"] for models in ENTRIES for entry in models.values() if "rollout" in entry]
    assert {rollout["strategy"] for rollout in rollouts} == {"all-at-once", "blue_green", "canary", "shadow"}


def test_the_gateways_arguments_are_good():
    (args,) = [block["args"] for block in YAML if "args" in block]
    read = GatewayArgs.model_validate(args)
    assert len(read.releases.webhooks) == 1
    assert read.admin is not None


def test_the_defaults_are_those_of_the_code():
    table = PAGE[PAGE.index("| key (default)") : PAGE.index("**Blue-green**")]
    told = {name: value for name, value in re.findall(r"`(\w+)` \(`?([\w.]+)`?\)", table)}
    shown = {"strategy", "confidence", "automatic", "keep_for_s", "ready_timeout_s", "shadow_percent", "shadow_seconds"}
    for name in shown:
        assert str(RolloutConfig.model_fields[name].default).lower().removesuffix(".0") == told[name]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_exists_with_its_options(line):
    command = typer.main.get_command(build_app())
    arguments = shlex.split(line)
    while isinstance(command, click.Group):
        command = command.commands[arguments.pop(0)]
    command.make_context(command.name, arguments)


@pytest.mark.parametrize("name", ["apply", "status", "rollback", "promote", "experiment"])
def test_the_commands_of_releases_are_shown(name):
    assert any(line.split()[0] == name for line in COMMANDS)


def test_the_check_of_a_signature_takes_ours_and_no_other():
    (code,) = [text for language, text in BLOCKS if language == "python"]
    names: dict[str, Any] = {"hashlib": hashlib, "hmac": hmac}
    exec(code, names)  # noqa: S102 - our own page
    body = line_of(event("e1"))
    headers = _headers(event("e1"), body, 1000, b"secret")
    assert names["is_genuine"](headers, body, b"secret")
    assert not names["is_genuine"](headers, body + b" ", b"secret")
    assert not names["is_genuine"]({**headers, "x-serve-app-timestamp": "1001"}, body, b"secret")
    assert not names["is_genuine"](headers, body, b"other")
    assert {name for name in headers if name.startswith("x-")} <= set(re.findall(r"`(x-serve-app-\w+)`", PAGE))


def test_the_page_is_short():
    assert len(PAGE.splitlines()) <= 220
