"""A row of two elements in each V2 datatype, with what is extreme in it."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from serve_app.datatypes import Datatype

VALUES = {
    Datatype.BOOL: np.array([[True, False]]),
    Datatype.UINT8: np.array([[0, 255]], np.uint8),
    Datatype.UINT16: np.array([[0, 2**16 - 1]], np.uint16),
    Datatype.UINT32: np.array([[0, 2**32 - 1]], np.uint32),
    Datatype.UINT64: np.array([[0, 2**64 - 1]], np.uint64),
    Datatype.INT8: np.array([[-128, 127]], np.int8),
    Datatype.INT16: np.array([[-(2**15), 2**15 - 1]], np.int16),
    Datatype.INT32: np.array([[-(2**31), 2**31 - 1]], np.int32),
    Datatype.INT64: np.array([[-(2**63), 2**63 - 1]], np.int64),
    Datatype.FP16: np.array([[0.5, -65504]], np.float16),
    Datatype.BF16: np.array([[0.5, -3]], ml_dtypes.bfloat16),
    Datatype.FP32: np.array([[0.1, -3]], np.float32),
    Datatype.FP64: np.array([[0.1, -3]], np.float64),
    Datatype.BYTES: np.array([[b"\xff\0", b""]], object),
}
