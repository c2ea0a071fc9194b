"""A tensor's elements as the binary tensor data extension writes them: little-endian, row-major, without padding.

BOOL is a byte of 0 or 1. A BYTES element is its length, 4 bytes unsigned, and then its bytes. Every other datatype has
its native size, which is also NumPy's, so its tensors are not copied: an array is a view of the body where the body
has it aligned.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence

import numpy as np

from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput, MalformedBody, TooLarge
from serve_app.types import Array

MAX_BYTES_ELEMENTS = 2**20  # each becomes a Python object of about ten times its smallest size on the wire
LENGTH_BYTES = 4
COPIED_BY_NUMPY_BYTES = 2**20

# The C API's own way to a `bytes` object that its maker fills in before anybody else has it.
_NEW_BYTES = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_char_p, ctypes.c_ssize_t)(
    ("PyBytes_FromStringAndSize", ctypes.pythonapi)
)
_ADDRESS = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(("PyBytes_AsString", ctypes.pythonapi))


class BinarySection:
    """The bytes behind a request's JSON, taken by its tensors one after the other."""

    def __init__(self, data: memoryview) -> None:
        self._left = data

    def take(self, nbytes: int, subject: str) -> memoryview:
        """The next `nbytes` bytes, which are those of the tensor that `subject` names.

        Raises:
            InvalidInput: There are not as many.
        """
        if nbytes > len(self._left):
            reason = f"has binary_data_size {nbytes}, but only {len(self._left)} bytes are left of the body"
            raise InvalidInput(subject, reason)
        taken, self._left = self._left[:nbytes], self._left[nbytes:]
        return taken

    def finish(self) -> None:
        """Make sure that no byte is left over.

        Raises:
            MalformedBody: Some are.
        """
        if self._left:
            raise MalformedBody(f"the body has {len(self._left)} bytes behind its last tensor")


def to_array(data: memoryview, datatype: Datatype, shape: Sequence[int], subject: str) -> Array:
    """The array that a binary tensor means.

    Args:
        data: The tensor's bytes and nothing else.
        datatype: What the elements are.
        shape: Lengths of the axes, each >= 0.
        subject: Names the tensor in errors.

    Returns:
        An aligned array of the datatype's dtype with that shape; read-only if it is a view of `data`.

    Raises:
        InvalidInput: The bytes do not fit the shape, or are no elements of the datatype.
        TooLarge: More BYTES elements than `MAX_BYTES_ELEMENTS`.
    """
    count = math.prod(shape)
    if datatype is Datatype.BYTES:
        array = _split(data, count, subject)
    else:
        expected = count * datatype.dtype.itemsize
        if len(data) != expected:
            reason = f"has {len(data)} bytes, shape {list(shape)} of {datatype} has {expected}"
            raise InvalidInput(subject, reason)
        array = _view(data, datatype, subject)
    try:
        return array.reshape(shape)
    except ValueError:  # no elements, but lengths whose product is beyond what an array can have
        raise InvalidInput(subject, f"has shape {list(shape)}, which no array can have") from None


def from_array(array: Array, datatype: Datatype) -> memoryview | bytes:
    """The bytes of an array of any shape; a view of it where it is C-contiguous."""
    if datatype is Datatype.BYTES:
        return b"".join(part for item in array.ravel() for part in (len(item).to_bytes(LENGTH_BYTES, "little"), item))
    return array.ravel().view(np.uint8).data


def joined(parts: Sequence[memoryview | bytes]) -> bytes:
    """The parts one behind the other; long ones are copied by NumPy, which lets other threads run meanwhile."""
    total = sum(map(len, parts))
    if total < COPIED_BY_NUMPY_BYTES:
        return b"".join(parts)
    # Not cleared, which would touch each of its pages while all other threads wait.
    whole: bytes = _NEW_BYTES(None, total)
    view: Array = np.ctypeslib.as_array((ctypes.c_uint8 * total).from_address(_ADDRESS(whole)))
    at = 0
    for part in parts:
        view[at : at + len(part)] = np.frombuffer(part, np.uint8)
        at += len(part)
    return whole


def _view(data: memoryview, datatype: Datatype, subject: str) -> Array:
    if datatype is Datatype.BOOL:
        values = np.frombuffer(data, np.uint8)
        if values.size and values.max() > 1:
            raise InvalidInput(subject, f"is BOOL but has a byte of {values.max()}; true is 1 and false is 0")
    array: Array = np.frombuffer(data, datatype.dtype)
    # The JSON before it may end anywhere. Runtimes in C read whole elements, and NumPy's checks on an array that is not
    # aligned take longer than this copy and the checks after it (measured up to 600 kB).
    return array if array.flags.aligned else array.copy()


def _split(data: memoryview, count: int, subject: str) -> Array:
    """The elements of a BYTES tensor; `count` is checked first, so that nothing is allocated for a false shape."""
    if count > MAX_BYTES_ELEMENTS:
        raise TooLarge(subject, count, MAX_BYTES_ELEMENTS, "BYTES elements")
    if count * LENGTH_BYTES > len(data):
        reason = f"has {count} BYTES elements by its shape, which its {len(data)} bytes cannot hold"
        raise InvalidInput(subject, reason)
    elements: Array = np.empty(count, dtype=object)
    start = 0
    for index in range(count):
        stop = start + LENGTH_BYTES
        end = stop + int.from_bytes(data[start:stop], "little")
        if stop > len(data) or end > len(data):
            raise InvalidInput(subject, f"has a BYTES element, number {index}, that runs past the tensor's last byte")
        elements[index] = bytes(data[stop:end])
        start = end
    if start != len(data):
        reason = f"has {len(data) - start} bytes behind its {count} BYTES elements"
        raise InvalidInput(subject, reason)
    return elements
