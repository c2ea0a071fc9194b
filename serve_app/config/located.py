"""A YAML document as plain data that knows the line of every key and list item.

Ray reads its files with a loader that keeps no lines and lets the last of two equal keys win. Here the document is
composed as nodes first: sizes are bounded before anything is built, and a key given twice is a fault.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from serve_app.config.base import Fault

KeyPath = tuple[str | int, ...]
"""Keys and indices from the top of a document."""

MAX_BYTES = 4 * 2**20
MAX_DEPTH = 64
MAX_VALUES = 200_000

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # wheels of a few platforms come without libyaml
_MERGE = "tag:yaml.org,2002:merge"
_PLAIN_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_MAX_DIGITS = 4096

ODD_SCALAR_ERRORS = (KeyError, IndexError, AttributeError, OverflowError)
"""What PyYAML raises, beside ValueError, for a value that its explicit tag does not fit: `!!bool abc`, `!!int ''`."""


@dataclass(frozen=True, slots=True)
class LocatedDocument:
    """What a YAML file says and where it says it.

    Attributes:
        file: As the caller named it.
        data: Plain mappings, lists and scalars; None if the file could not be read.
        lines: Line of every key and list item, counted from 1; the top of the document is `()`.
        faults: What was wrong with the YAML itself. The data can still be checked unless it is None.
    """

    file: str
    data: object
    lines: Mapping[KeyPath, int]
    faults: tuple[Fault, ...] = ()

    def line(self, path: KeyPath) -> int:
        """Line of `path`, or of the nearest thing above it that is in the file."""
        for length in range(len(path), -1, -1):
            if (line := self.lines.get(path[:length])) is not None:
                return line
        return 1

    def fault(self, path: KeyPath, message: str) -> Fault:
        """A fault of this file at the line of `path`."""
        return Fault(self.file, self.line(path), ".".join(map(str, path)), message)


class _Unreadable(Exception):
    """The document cannot be turned into data at all."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(line, message)
        self.line, self.message = line, message


def read_document(file: Path) -> LocatedDocument:
    """Read a YAML file of at most 4 MB; whatever stops that is a fault of the document, never an exception."""
    try:
        size = file.stat().st_size
        if size > MAX_BYTES:
            raise _Unreadable(1, f"the file has {size} bytes, the limit is {MAX_BYTES}")
        return parse_document(file.read_bytes(), str(file))
    except OSError as error:
        return _unreadable(str(file), 1, f"cannot be read: {error.strerror}")
    except _Unreadable as error:
        return _unreadable(str(file), error.line, error.message)


def parse_document(content: bytes, file: str) -> LocatedDocument:
    """Like `read_document`, for content that is there already; `file` is what faults call it."""
    try:
        text = content.decode("utf-8-sig")
        _check_depth(text)
        return _compose(text, file)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return _unreadable(file, line, f"not valid UTF-8: byte 0x{content[error.start]:02x}")
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return _unreadable(file, line, f"not valid YAML: {error.reason}")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return _unreadable(file, mark.line + 1 if mark else 1, f"not valid YAML: {error.problem or error.context}")
    except _Unreadable as error:
        return _unreadable(file, error.line, error.message)


def _unreadable(file: str, line: int, message: str) -> LocatedDocument:
    return LocatedDocument(file, None, {}, (Fault(file, line, "", message),))


def _check_depth(text: str) -> None:
    """Refuse deep nesting while it is still a stream of events: composing nodes recurses."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise _Unreadable(_line(event), f"nested deeper than {MAX_DEPTH} levels")


def _compose(text: str, file: str) -> LocatedDocument:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            raise _Unreadable(1, "the file is empty")
        builder = _Builder(loader, file)
        data = builder.build(root, ())
        return LocatedDocument(file, data, builder.lines, tuple(builder.faults))
    finally:
        loader.dispose()


@dataclass(slots=True)
class _Builder:
    """Turns nodes into data, expanding aliases up to a bound, and notes lines and duplicate keys on the way."""

    loader: Any
    file: str
    lines: dict[KeyPath, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    values: int = 0

    def build(self, node: yaml.Node, path: KeyPath) -> object:
        if len(path) > MAX_DEPTH:  # an alias inside its own anchor
            raise _Unreadable(_line(node), f"nested deeper than {MAX_DEPTH} levels")
        self.lines.setdefault(path, _line(node))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if node.tag not in _PLAIN_TAGS:
            raise _Unreadable(_line(node), f"the tag {node.tag} is not supported")
        if isinstance(node, yaml.SequenceNode):
            self._count(node, len(node.value))
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._mapping(node, path)

    def _count(self, node: yaml.Node, values: int) -> None:
        self.values += values
        if self.values > MAX_VALUES:
            raise _Unreadable(_line(node), f"more than {MAX_VALUES} values, counting each alias in full")

    def _scalar(self, node: yaml.ScalarNode) -> Hashable:
        if is_long_number(node):
            raise _Unreadable(_line(node), f"a number of {len(node.value)} characters")
        try:
            value: object = self.loader.construct_object(node)
        except ValueError as error:  # e.g. a date that is none: 2024-13-45
            raise _Unreadable(_line(node), f"{node.value!r} cannot be read: {error}") from error
        except ODD_SCALAR_ERRORS as error:
            raise _Unreadable(_line(node), odd_scalar(node)) from error
        if not isinstance(value, Hashable):  # e.g. `!!seq x`
            raise _Unreadable(_line(node), odd_scalar(node))
        return value

    def _mapping(self, node: yaml.Node, path: KeyPath) -> dict[object, object]:
        data: dict[object, object] = {}
        first: dict[object, int] = {}
        for key_node, value_node, merged in self._pairs(node, 0):
            if not isinstance(key_node, yaml.ScalarNode):
                raise _Unreadable(_line(key_node), "a key must be a single value")
            key = self._scalar(key_node)
            inner = (*path, key if isinstance(key, str | int) else str(key))
            if key not in data:
                self.lines[inner] = first[key] = _line(key_node)
                data[key] = self.build(value_node, inner)
            elif not merged:
                message = f"key {key!r} is given twice, first on line {first[key]}"
                self.faults.append(Fault(self.file, _line(key_node), ".".join(map(str, inner)), message))
        return data

    def _pairs(self, node: yaml.Node, depth: int) -> Iterator[tuple[yaml.Node, yaml.Node, bool]]:
        """A mapping's own pairs, then those it merges with `<<`, which give way to what is there."""
        merges: list[yaml.Node] = []
        if depth > MAX_DEPTH:
            raise _Unreadable(_line(node), f"nested deeper than {MAX_DEPTH} levels")
        self._count(node, len(node.value))
        for key, value in node.value:
            if key.tag == _MERGE:
                merges += value.value if isinstance(value, yaml.SequenceNode) else [value]
            else:
                yield key, value, depth > 0
        self._count(node, len(merges))
        for merge in merges:
            if not isinstance(merge, yaml.MappingNode):
                raise _Unreadable(_line(merge), "only mappings can be merged with <<")
            yield from self._pairs(merge, depth + 1)


def is_long_number(node: yaml.ScalarNode) -> bool:
    """Whether reading the value would take the square of its length: YAML has numbers to base 60, `1:30:00`."""
    return len(node.value) > _MAX_DIGITS and node.tag in _NUMBER_TAGS


def odd_scalar(node: yaml.ScalarNode) -> str:
    """The message for a value that its tag does not fit."""
    return f"{node.value!r} cannot be read as {node.tag.replace('tag:yaml.org,2002:', '!!')}"


def _line(part: yaml.Node | yaml.Event) -> int:
    return part.start_mark.line + 1 if part.start_mark else 1


def at(data: object, path: Sequence[str | int]) -> object:
    """The value at `path`, or None where there is none."""
    for key in path:
        if isinstance(data, Mapping):
            data = data.get(key)
        elif isinstance(data, list) and isinstance(key, int) and 0 <= key < len(data):
            data = data[key]
        else:
            return None
    return data
