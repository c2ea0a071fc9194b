"""The V2 datatypes and the NumPy dtypes that stand for them."""

from __future__ import annotations

from enum import StrEnum

import ml_dtypes
import numpy as np

from serve_app.errors import InvalidInput


class Datatype(StrEnum):
    """A tensor element's type as the Open Inference Protocol spells it."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    BF16 = "BF16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The NumPy dtype of a decoded tensor; BYTES tensors hold Python `bytes` in dtype object."""
        return _DTYPES[self]

    @property
    def is_float(self) -> bool:
        """Whether NaN and infinity can be said in this datatype."""
        return self in _FLOATS

    @property
    def is_integer(self) -> bool:
        """Whether the datatype is a signed or unsigned integer (BOOL is not)."""
        return self.dtype.kind in "iu"


_DTYPES: dict[Datatype, np.dtype[np.generic]] = {
    Datatype.BOOL: np.dtype(np.bool_),
    Datatype.UINT8: np.dtype(np.uint8),
    Datatype.UINT16: np.dtype(np.uint16),
    Datatype.UINT32: np.dtype(np.uint32),
    Datatype.UINT64: np.dtype(np.uint64),
    Datatype.INT8: np.dtype(np.int8),
    Datatype.INT16: np.dtype(np.int16),
    Datatype.INT32: np.dtype(np.int32),
    Datatype.INT64: np.dtype(np.int64),
    Datatype.FP16: np.dtype(np.float16),
    Datatype.BF16: np.dtype(ml_dtypes.bfloat16),
    Datatype.FP32: np.dtype(np.float32),
    Datatype.FP64: np.dtype(np.float64),
    Datatype.BYTES: np.dtype(object),
}
_BY_DTYPE = {dtype: datatype for datatype, dtype in _DTYPES.items()}
_FLOATS = frozenset({Datatype.FP16, Datatype.BF16, Datatype.FP32, Datatype.FP64})


def datatype_of(array: np.ndarray) -> Datatype:
    """The V2 datatype of a decoded tensor.

    Raises:
        InvalidInput: V2 has no name for the array's dtype (complex, datetime, non-native byte order, ...).
    """
    datatype = _BY_DTYPE.get(array.dtype)
    if datatype is None:
        known = ", ".join(str(dtype) for dtype in _BY_DTYPE)
        raise InvalidInput("a tensor", f"has dtype {array.dtype}, which V2 has no datatype for; use one of {known}")
    return datatype


def parse_datatype(name: str, subject: str) -> Datatype:
    """The datatype called `name`.

    Raises:
        InvalidInput: There is no such datatype; the message names `subject` and lists those there are.
    """
    try:
        return Datatype(name)
    except ValueError:
        raise InvalidInput(subject, f"has unknown datatype {name[:40]!r}; V2 knows {', '.join(Datatype)}") from None
