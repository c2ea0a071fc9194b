"""Options that commands share."""

import inspect

from serve_app.cli import options
from serve_app.cli.promote import promote
from serve_app.cli.rollback import rollback


def test_commands_share_their_options():
    assert inspect.signature(rollback).parameters["address"].default == options.DEFAULT_DASHBOARD
    for command in (rollback, promote):
        assert {"token_env", "timeout_s"} <= set(inspect.signature(command).parameters)


def test_the_clock_goes_on():
    before = options.CLOCK.now()
    assert options.CLOCK.now() >= before
