"""The command line: one function a command, assembled here."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import typer

from serve_app.cli.apply import apply_command
from serve_app.cli.experiment import app as experiment_app
from serve_app.cli.infer import infer
from serve_app.cli.models import app as models_app
from serve_app.cli.promote import promote
from serve_app.cli.rollback import rollback
from serve_app.cli.serve import serve_command
from serve_app.cli.show import show
from serve_app.cli.status import status
from serve_app.cli.validate import validate_command
from serve_app.config.serve_file import ExtraCheck


def build_app(extra_checks: Sequence[ExtraCheck] = ()) -> typer.Typer:
    """The whole command line.

    Args:
        extra_checks: Checks of serve files from layers above the core, such as Ray's own schema.
    """
    logger = logging.getLogger("serve_app")
    if not logger.handlers:  # else Python prints what is logged on the way to a command's one sentence
        logger.addHandler(logging.NullHandler())
    app = typer.Typer(
        name="serve-app",
        help="Serve models on Ray Serve from one YAML file.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.command("validate")(validate_command(extra_checks))
    app.command("serve")(serve_command(extra_checks))
    app.command("apply")(apply_command(extra_checks))
    app.command("promote")(promote)
    app.command("rollback")(rollback)
    app.command("show")(show)
    app.command("infer")(infer)
    app.command("status")(status)
    app.add_typer(experiment_app, name="experiment")
    app.add_typer(models_app, name="models")
    return app
