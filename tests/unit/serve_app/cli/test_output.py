"""How commands speak."""

import json

import pytest
import typer

from serve_app.cli.output import (
    CommandError,
    Twig,
    errors_reported,
    progress,
    say,
    say_error,
    say_json,
    say_table,
    say_tree,
)
from serve_app.errors import ManifestError


@pytest.mark.parametrize("error", [CommandError("no [b]luck"), ManifestError("no [b]luck", "x")])
def test_an_error_is_one_plain_sentence_on_stderr_and_exit_code_1(error, capsys):
    with pytest.raises(typer.Exit) as caught, errors_reported():
        raise error
    assert caught.value.exit_code == 1
    assert capsys.readouterr() == ("", f"error: {error}\n")


@pytest.mark.parametrize("error", [ZeroDivisionError("no\nluck"), RuntimeError("no luck")])
def test_an_error_that_nobody_foresaw_is_a_sentence_too(error, capsys):
    with pytest.raises(typer.Exit) as caught, errors_reported():
        raise error
    assert caught.value.exit_code == 1
    assert capsys.readouterr() == ("", f"internal error: {type(error).__name__}: no luck\n")


@pytest.mark.parametrize("end", [typer.Exit(3), typer.Abort(), BrokenPipeError()])
def test_the_ways_in_which_commands_end_are_no_errors(end, capsys):
    with pytest.raises(type(end)) as caught, errors_reported():
        raise end
    assert caught.value is end
    assert capsys.readouterr() == ("", "")


def test_long_lines_are_not_wrapped(capsys):
    say("x" * 500)
    assert capsys.readouterr().out == "x" * 500 + "\n"


def test_json_is_indented(capsys):
    say_json({"a": [1]})
    assert capsys.readouterr().out == '{\n  "a": [\n    1\n  ]\n}\n'


def test_a_table_without_a_terminal_is_wide_enough(capsys):
    say_table(("a", "b"), [("x" * 90, "y" * 90)])
    assert "y" * 90 in capsys.readouterr().out


def test_a_tree_shows_what_hangs_on_what_unwrapped_and_without_markup(capsys):
    say_tree(Twig("[b]root", (Twig("x" * 300, (Twig("a\x1bb"),)), Twig(":smile:"))))
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "[b]root",
        f"├── {'x' * 300}",
        "│   └── a\ufffdb",
        "└── :smile:",
    ]


@pytest.mark.parametrize("text", ["[/x]", "[red]a", ":smile:"])
def test_text_that_looks_like_markup_is_shown_as_it_is(text, capsys):
    say_table((text, "b"), [("a", text)])
    assert capsys.readouterr().out.count(text) == 2
    with progress(text):
        pass


def test_control_characters_never_reach_the_terminal(capsys):
    evil = "a\x1b]0;title\x07b\x9bc\td"
    say(evil)
    say_error(evil)
    out, err = capsys.readouterr()
    assert out == err == "a\ufffd]0;title\ufffdb\ufffdc\td\n"
    say_table(("a\x1b[2J",), [("b\x1b[2J",)])
    assert "\x1b" not in capsys.readouterr().out
    say_json({"a": evil})
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x9b" not in out
    assert json.loads(out) == {"a": evil}
