"""The command line: one module a command, imported when it is asked for, because some take a second to import."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

if TYPE_CHECKING:
    from serve_app.config.serve_file import ExtraCheck

_CHECKING = {"validate": "validate_command", "serve": "serve_command", "apply": "apply_command"}
"""Functions that make a command of the extra checks, by the command's name, which is its module's too."""

_PLAIN = ("promote", "rollback", "show", "infer", "status")
_GROUPS = ("experiment", "models")


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
        cls=_group_of(_loaders(extra_checks)),
        help="Serve models on Ray Serve from one YAML file.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    return app


def _root() -> None:
    """Serve models on Ray Serve from one YAML file."""


def _loaders(extra_checks: Sequence[ExtraCheck]) -> Mapping[str, Callable[[], Any]]:
    """What imports and makes each command, in the order in which they are listed."""
    loaders: dict[str, Callable[[], Any]] = {}
    for name, maker in _CHECKING.items():
        loaders[name] = partial(_checking, name, maker, extra_checks)
    for name in _PLAIN:
        loaders[name] = partial(_plain, name)
    for name in _GROUPS:
        loaders[name] = partial(_group, name)
    return loaders


def _checking(name: str, maker: str, extra_checks: Sequence[ExtraCheck]) -> object:
    return _command(name, getattr(_module(name), maker)(extra_checks))


def _plain(name: str) -> object:
    return _command(name, getattr(_module(name), name))


def _group(name: str) -> object:
    group = get_command(_module(name).app)
    group.name = name
    return group


def _command(name: str, function: Callable[..., None]) -> object:
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name)(function)
    return get_command(alone)


def _module(name: str) -> ModuleType:
    return import_module(f"serve_app.cli.{name}")


def _group_of(loaders: Mapping[str, Callable[[], Any]]) -> type[TyperGroup]:
    class LazyGroup(TyperGroup):
        """Knows its commands by name and makes one when it is asked for; click's types are private to typer."""

        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - as above
            return list(loaders)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - as above
            load = loaders.get(cmd_name)
            return load() if load is not None else None

    return LazyGroup
