"""Requests that must be refused, each with its status and a part of its sentence. For a model like the digits sample:

input `pixels` FP32 [-1, 64]; outputs `probabilities` and `label`; versions v1 and v2; 4,096 rows at the most.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

INFER = "/v2/models/digits/infer"
MAX_BODY_BYTES = 2**20


@dataclass(frozen=True)
class BadRequest:
    name: str
    body: bytes
    status: int
    says: str
    path: str = INFER
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)


def tensor(**changes: object) -> dict[str, object]:
    whole = {"name": "pixels", "datatype": "FP32", "shape": [1, 64], "data": [0.0] * 64}
    return {key: value for key, value in {**whole, **changes}.items() if value is not ...}


def body(*tensors: object, **more: object) -> bytes:
    return json.dumps({"inputs": list(tensors), **more}).encode()


BAD_REQUESTS = [
    BadRequest("empty body", b"", 400, "the body is not JSON"),
    BadRequest("not JSON", b"{inputs", 400, "the body is not JSON"),
    BadRequest("cut in the middle", body(tensor())[:50], 400, "the body is not JSON"),
    BadRequest("not UTF-8", b'{"inputs": "\xff\xfe"}', 400, "the body is not JSON"),
    BadRequest("NaN literal", b'{"inputs": [NaN]}', 400, "the body is not JSON"),
    BadRequest("10,000 deep", b"[" * 10_000 + b"]" * 10_000, 400, "the body is not JSON"),
    BadRequest("a list", b"[1, 2]", 400, "the body must be a JSON object"),
    BadRequest("no inputs", b"{}", 400, "'inputs' is missing"),
    BadRequest("inputs empty", body(), 400, "'inputs' is empty"),
    BadRequest("inputs an object", b'{"inputs": {}}', 400, "'inputs' must be a list of objects"),
    BadRequest("300 inputs", body(*[tensor()] * 300), 400, "'inputs' has 300 members, the limit is 256"),
    BadRequest("input without name", body(tensor(name=...)), 400, "the 'name' of an input is missing"),
    BadRequest("wrong input name", body(tensor(name="images")), 400, "input 'images' is not one of digits's: pixels"),
    BadRequest("input twice", body(tensor(), tensor()), 400, "input 'pixels' is given twice"),
    BadRequest("one input too many", body(tensor(), tensor(name="mask")), 400, "input 'mask' is not one of"),
    BadRequest("unknown datatype", body(tensor(datatype="FP31")), 400, "has unknown datatype 'FP31'"),
    BadRequest("datatype missing", body(tensor(datatype=...)), 400, "the 'datatype' of input 'pixels' is missing"),
    BadRequest(
        "wrong datatype", body(tensor(datatype="INT64", data=[0] * 64)), 400, "has datatype INT64, FP32 is expected"
    ),
    BadRequest("FP16 in JSON", body(tensor(datatype="FP16")), 400, "is FP16, which JSON cannot carry"),
    BadRequest("shape missing", body(tensor(shape=...)), 400, "needs a 'shape'"),
    BadRequest("negative length", body(tensor(shape=[-1, 64])), 400, "needs a 'shape'"),
    BadRequest("shape of fractions", body(tensor(shape=[1.5, 64])), 400, "needs a 'shape'"),
    BadRequest("shape overflows", body(tensor(shape=[2**39, 2**39])), 400, "but its data has 64"),
    BadRequest("lengths of nothing", body(tensor(shape=[0, 2**39, 2**39], data=[])), 400, "no array can have"),
    BadRequest(
        "shape 900 deep",
        b'{"inputs": [{"name": "pixels", "datatype": "FP32", "data": [], "shape": ' + b"[" * 900 + b"]" * 900 + b"}]}",
        400,
        "needs a 'shape'",
    ),
    BadRequest("a long string among the data", body(tensor(data=[0] * 5000 + ["a" * 100_000])), 400, "the string 'aaa"),
    BadRequest("true among the data", body(tensor(data=[True] + [0.5] * 63)), 400, "its data holds true"),
    BadRequest("a long name", body(tensor(name="x" * 1000)), 400, "has 1000 characters, the limit is 256"),
    BadRequest("model without name", body(tensor()), 404, "there is nothing at", "/v2/models//infer"),
    BadRequest("wrong row length", body(tensor(shape=[1, 63], data=[0.0] * 63)), 400, "has shape [1, 63], [-1, 64]"),
    BadRequest("one axis missing", body(tensor(shape=[64])), 400, "has shape [64], [-1, 64] is expected"),
    BadRequest("too few elements", body(tensor(data=[0.0] * 63)), 400, "has shape [1, 64], 64 elements, but its data"),
    BadRequest("nesting disagrees", body(tensor(data=[[0.0] * 32] * 2)), 400, "but its data is nested as [2, 32]"),
    BadRequest("uneven nesting", body(tensor(data=[[0.0] * 64, [0.0]])), 400, "nested unevenly"),
    BadRequest("no rows", body(tensor(shape=[0, 64], data=[])), 400, "has 0 rows, at least 1"),
    BadRequest("too many rows", body(tensor(shape=[5000, 64], data=[0] * 320_000)), 413, "has 5000 rows, the limit is"),
    BadRequest("data missing", body(tensor(data=...)), 400, "has no 'data'"),
    BadRequest("data a number", body(tensor(data=1.0)), 400, "needs a list as data, not 1.0"),
    BadRequest("a string among the data", body(tensor(data=["7"] + [0.0] * 63)), 400, "holds the string '7'"),
    BadRequest("null among the data", body(tensor(data=[None] + [0.0] * 63)), 400, "its data holds null"),
    BadRequest("infinity", body(tensor(data=[1e300] + [0.0] * 63)), 400, "has inf at [0, 0]"),
    BadRequest("unknown output", body(tensor(), outputs=[{"name": "logits"}]), 400, "output 'logits' is not one of"),
    BadRequest("output twice", body(tensor(), outputs=[{"name": "label"}] * 2), 400, "'label' is asked for twice"),
    BadRequest("id not a string", body(tensor(), id=7), 400, "'id' must be a string"),
    BadRequest("parameters a list", body(tensor(), parameters=[]), 400, "'parameters' must be an object"),
    BadRequest("timeout a word", body(tensor(), parameters={"timeout": "soon"}), 400, "must be whole microseconds"),
    BadRequest("timeout negative", body(tensor(), parameters={"timeout": -1}), 400, "must be over 0"),
    BadRequest("unknown model", body(tensor()), 404, "model 'cats' is not served here", "/v2/models/cats/infer"),
    BadRequest(
        "unknown version", body(tensor()), 404, "has no version or label 'v9'", "/v2/models/digits/versions/v9/infer"
    ),
    BadRequest("unknown label", body(tensor()), 404, "label 'best'", "/v2/models/digits/labels/best/infer"),
    BadRequest("unknown path", b"", 404, "there is nothing at '/v3'", "/v3", "GET"),
    BadRequest("GET on infer", b"", 405, "use POST", method="GET"),
    BadRequest("DELETE a model", b"", 405, "method not allowed", "/v2/models/digits", "DELETE"),
    BadRequest("body over the limit", b" " * (MAX_BODY_BYTES + 1), 413, f"the limit is {MAX_BODY_BYTES}"),
    BadRequest("predict without input", b"{}", 400, "'input' is missing", "/predict"),
    BadRequest("predict a string", b'{"input": "seven"}', 400, "needs a list as data", "/predict"),
    BadRequest("predict short rows", b'{"input": [[1, 2]]}', 400, "has shape [1, 2], [-1, 64] is expected", "/predict"),
    BadRequest("predict a wrong name", b'{"input": {"x": [1]}}', 400, "input 'x' is not one of", "/predict"),
]
