"""V2 datatypes and NumPy dtypes stand for each other, one to one."""

from __future__ import annotations

import numpy as np
import pytest

from serve_app.datatypes import Datatype, datatype_of, parse_datatype
from serve_app.errors import InvalidInput

V2 = ["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "BF16", "FP32", "FP64"]
V2.append("BYTES")


def test_all_of_v2_is_known():
    assert list(Datatype) == V2


@pytest.mark.parametrize("name", V2)
def test_a_datatype_is_found_by_its_dtype(name):
    datatype = parse_datatype(name, "input 'x'")
    assert datatype_of(np.zeros(2, datatype.dtype)) is datatype


def test_kinds():
    assert [d for d in V2 if Datatype(d).is_float] == ["FP16", "BF16", "FP32", "FP64"]
    assert [d for d in V2 if Datatype(d).is_integer] == [d for d in V2 if "INT" in d]
    assert Datatype.BF16.dtype.itemsize == 2


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[s]", ">f4", "U3"])
def test_a_dtype_without_a_datatype_is_named(dtype):
    with pytest.raises(InvalidInput, match="which V2 has no datatype for"):
        datatype_of(np.zeros(1, dtype))


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(InvalidInput, match="input 'x' has unknown datatype 'float32'; V2 knows BOOL, UINT8"):
        parse_datatype("float32", "input 'x'")
