"""Long fields of bytes in protobuf's wire format, read and written without the copies that protobuf makes of them.

Protobuf copies such a field when it parses a message, once more when the field is read, and so on the way back; each
time while nothing else in the process runs, and into buffers that grow. A message is its fields one behind the other,
in any order, so what is not long is left to protobuf.
"""

from __future__ import annotations

from collections.abc import Sequence

from serve_app.protocol.binary_tensor import joined

MOST_FIELDS = 2**11  # looked at; whoever sends more has them parsed by protobuf, which is faster at short ones
_VARINT_BYTES = 10
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5  # kinds of fields; the others are of groups, which nobody sends


def without(data: bytes, number: int) -> tuple[bytes, list[memoryview]] | None:
    """A message without the bytes fields of one number, and what these hold, as views.

    Args:
        data: The message.
        number: Of the fields.

    Returns:
        None where the message is malformed or has too many fields: protobuf itself is to parse it.
    """
    view = memoryview(data)
    kept, taken = list[memoryview](), list[memoryview]()
    at = kept_to = 0
    try:
        for _ in range(MOST_FIELDS):
            begin = at
            key, at = _varint(data, at)
            start, at = _extent(data, at, key & 7)
            if at > len(data):
                return None
            if key == number << 3 | _BYTES:
                kept.append(view[kept_to:begin])
                taken.append(view[start:at])
                kept_to = at
            if at == len(data):
                return (b"".join((*kept, view[kept_to:])) if taken else data), taken
    except (IndexError, ValueError):
        pass
    return None


def with_fields(head: bytes, number: int, values: Sequence[memoryview | bytes]) -> bytes:
    """A message and one more bytes field of a number for each value; long ones are copied beside other threads."""
    parts: list[memoryview | bytes] = [head]
    for value in values:
        parts += (_encoded(number << 3 | _BYTES) + _encoded(len(value)), value)
    return joined(parts)


def _extent(data: bytes, at: int, kind: int) -> tuple[int, int]:
    """Where the content of a field begins and ends, from what follows its key."""
    if kind == _BYTES:
        length, start = _varint(data, at)
        return start, start + length
    if kind == _VARINT:
        return at, _varint(data, at)[1]
    if kind in (_FIXED_64, _FIXED_32):
        return at, at + (8 if kind == _FIXED_64 else 4)
    raise ValueError


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and where it ends."""
    value = 0
    for index in range(_VARINT_BYTES):
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    raise ValueError


def _encoded(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
