"""A report as data, and its two forms: Markdown beside its pictures, and one HTML page that holds everything."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under a title; every row has as many cells as there are columns."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG file in the report's folder."""

    title: str
    file: str


Part = Text | Table | Picture

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 0.5em 0 }
caption { text-align: left; font-weight: 600; padding: 1em 0 0.3em }
th, td { border-bottom: 1px solid #ddd; padding: 0.25em 0.8em; text-align: right; font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left } img { max-width: 100% } .note { color: #666; margin-top: 0 }
"""


def markdown(title: str, parts: Sequence[Part]) -> str:
    """The report as GitHub's Markdown."""
    return "\n\n".join([f"# {title}", *map(_markdown, parts)]) + "\n"


def html(title: str, parts: Sequence[Part], folder: Path) -> str:
    """The report as one page; the pictures in `folder` are put into it."""
    body = "\n".join(_html(part, folder) for part in parts)
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    page = f"<head>{head}</head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>"
    return f'<!doctype html>\n<html lang="en">{page}</html>\n'


def _markdown(part: Part) -> str:
    if isinstance(part, Text):
        return part.text
    if isinstance(part, Picture):
        return f"![{part.title}]({part.file})"
    lines = [part.columns, ("---", *("---:" for _ in part.columns[1:])), *part.rows]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return "\n\n".join(filter(None, [f"## {part.title}", table, part.note]))


def _html(part: Part, folder: Path) -> str:
    if isinstance(part, Text):
        return f"<p>{escape(part.text)}</p>"
    if isinstance(part, Picture):
        data = base64.b64encode((folder / part.file).read_bytes()).decode()
        return f'<p><img alt="{escape(part.title)}" src="data:image/png;base64,{data}"></p>'
    head = "".join(f"<th>{escape(column)}</th>" for column in part.columns)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in part.rows)
    note = f'<p class="note">{escape(part.note)}</p>' if part.note else ""
    return f"<table><caption>{escape(part.title)}</caption>\n<tr>{head}</tr>\n{rows}</table>{note}"
