"""How commands speak: results on stdout, errors as one sentence on stderr with exit code 1."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from serve_app.errors import ServeAppError

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line feed: ESC could drive the terminal
_CONTROL_IN_JSON = re.compile(r"[\x7f-\x9f]")  # the others are escaped already


class CommandError(Exception):
    """A command cannot do what it was asked to; `str()` is the sentence for the person who asked."""


@dataclass(frozen=True, slots=True)
class Twig:
    """A line of a tree, and what hangs on it."""

    text: str
    twigs: tuple[Twig, ...] = ()


@contextmanager
def errors_reported() -> Iterator[None]:
    """Turn every error into one sentence on stderr and exit code 1."""
    try:
        yield
    except (CommandError, ServeAppError) as error:
        say_error(f"error: {error}")
        raise typer.Exit(1) from None
    except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):  # typer's own ways to end
        raise
    except Exception as error:  # nobody foresaw it: still a sentence for the person who asked, not a traceback
        say_error(f"internal error: {type(error).__name__}: {' '.join(str(error).split())}")
        raise typer.Exit(1) from None


def printable(text: str) -> str:
    """The text with U+FFFD in place of control characters, so that what a server or a file says is only shown."""
    return _CONTROL.sub("\ufffd", text)


def progress(text: str) -> AbstractContextManager[object]:
    """Show on stderr, while the block lasts, what is being done."""
    return _console(stderr=True).status(Text(printable(text)))


def stderr_console() -> Console:
    """Where progress is drawn; what looks like markup or an emoji's name is neither."""
    return _console(stderr=True)


def stdout_console() -> Console:
    """Where results are drawn, as wide as the terminal, or as they need where there is none; as above."""
    console = _console()
    return console if console.is_terminal else _console(width=200)


def say(text: str) -> None:
    """Write plain text to stdout, unwrapped and without markup."""
    typer.echo(printable(text))


def say_error(text: str) -> None:
    """Write plain text to stderr."""
    typer.echo(printable(text), err=True)


def say_json(value: object) -> None:
    """Write a value to stdout as indented JSON."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    typer.echo(_CONTROL_IN_JSON.sub(lambda found: f"\\u{ord(found.group()):04x}", text))


def say_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table to stdout."""
    table = Table(*map(printable, headers))
    for row in rows:
        table.add_row(*map(printable, row))
    stdout_console().print(table)


def say_tree(root: Twig) -> None:
    """Write a tree to stdout; long lines are wrapped on a terminal only."""
    console = _console()
    if not console.is_terminal:
        console = _console(width=1000)
    console.print(_tree(root))


def _tree(twig: Twig) -> Tree:
    tree = Tree(Text(printable(twig.text)))
    tree.children.extend(map(_tree, twig.twigs))
    return tree


def _console(*, stderr: bool = False, width: int | None = None) -> Console:
    """A console that shows text as it is: what looks like markup or an emoji's name is neither."""
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)
