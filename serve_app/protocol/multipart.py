"""One field of a multipart/form-data body."""

from __future__ import annotations

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serve_app.errors import InvalidInput, MalformedBody

MAX_PARTS = 16


@dataclass(slots=True)
class Part:
    """A part of a form.

    Attributes:
        headers: By name in lower case.
        content: Its bytes as they were sent.
    """

    headers: dict[str, str] = field(default_factory=dict)
    content: bytearray = field(default_factory=bytearray)

    @property
    def disposition(self) -> dict[bytes, bytes]:
        """The parameters of its Content-Disposition: `name`, and `filename` where it is a file."""
        return parse_options_header(self.headers.get("content-disposition", ""))[1]


def part_named(names: tuple[str, ...], body: bytes, content_type: str) -> Part:
    """The only part with one of these names.

    Args:
        names: The names looked for.
        body: The whole form.
        content_type: The request's header, which has the boundary.

    Raises:
        MalformedBody: Not a form, or it is cut off.
        InvalidInput: It has no such part, or several.
    """
    wanted = {name.encode() for name in names}
    found = [part for part in _parts(body, content_type) if part.disposition.get(b"name") in wanted]
    if len(found) != 1:
        raise InvalidInput("the form", f"has {len(found)} parts named {' or '.join(names)}, 1 is expected")
    return found[0]


def _parts(body: bytes, content_type: str) -> list[Part]:
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise MalformedBody("header 'content-type' is multipart/form-data without a boundary")
    form = _Form()
    try:
        MultipartParser(
            boundary,
            {
                "on_part_begin": form.begin_part,
                "on_part_data": form.add_content,
                "on_header_field": form.add_to_name,
                "on_header_value": form.add_to_value,
                "on_header_end": form.end_header,
                "on_end": form.end,
            },
        ).write(body)
    except FormParserError as error:
        raise MalformedBody(f"the body is not multipart/form-data: {error}") from None
    if not form.is_whole:
        raise MalformedBody("the multipart/form-data body is cut off")
    return form.parts


class _Form:
    """Collects what the parser tells: slices of names, values and contents, in order."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.is_whole = False
        self._name, self._value = b"", b""

    def begin_part(self) -> None:
        if len(self.parts) == MAX_PARTS:
            raise MalformedBody(f"the form has more than {MAX_PARTS} parts")
        self.parts.append(Part())

    def add_content(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].content += memoryview(data)[start:end]

    def add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end_header(self) -> None:
        self.parts[-1].headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._name, self._value = b"", b""

    def end(self) -> None:
        self.is_whole = True
