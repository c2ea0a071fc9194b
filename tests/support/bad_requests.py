"""Requests that must be refused, each with its status and a part of its sentence. For a model like the digits sample:

input `pixels` FP32 [-1, 64]; outputs `probabilities` and `label`; versions v1 and v2; 4,096 rows at the most.
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass, field

INFER = "/v2/models/digits/infer"
TENSORFLOW, TORCHSERVE = "/v1/models/digits:predict", "/predictions/digits"
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


def binary(nbytes: int, **changes: object) -> dict[str, object]:
    return tensor(data=..., parameters={"binary_data_size": nbytes}, **changes)


def bad_binary(name: str, tail: bytes, says: str, *tensors: object, length: str = "", status: int = 400) -> BadRequest:
    """A V2 document and bytes behind it, with the document's length in the header unless another is given."""
    head = body(*tensors)
    headers = {"inference-header-content-length": length or str(len(head))}
    return BadRequest(name, head + tail, status, says, headers=headers)


def bad_form(name: str, content: bytes, content_type: str, says: str) -> BadRequest:
    return BadRequest(f"TorchServe: {name}", content, 400, says, TORCHSERVE, headers={"content-type": content_type})


def bad_coding(name: str, coding: str, content: bytes, status: int, says: str, path: str = INFER) -> BadRequest:
    return BadRequest(f"compressed: {name}", content, status, says, path, headers={"content-encoding": coding})


def bomb() -> bytes:
    """10 GB of zeros in a megabyte or so."""
    compressor = zlib.compressobj(9, wbits=31)
    member = b"".join([*(compressor.compress(bytes(2**20)) for _ in range(80)), compressor.flush()])
    return member * (MAX_BODY_BYTES // len(member))


DECOMPRESSED = f"the decompressed body has {MAX_BODY_BYTES + 1} bytes or more, the limit is {MAX_BODY_BYTES}"

BAD_REQUESTS = [
    bad_coding("unknown", "br", b"x", 415, "content-encoding 'br' is not read here; send one of zstd, gzip, deflate"),
    bad_coding("two codings", "gzip, gzip", b"x", 415, "content-encoding 'gzip, gzip' is not read here"),
    bad_coding("no gzip", "gzip", b"plain", 400, "the body is not of its content-encoding gzip"),
    bad_coding("no zstd", "zstd", b"plain", 400, "the body is not of its content-encoding zstd"),
    bad_coding("cut off", "gzip", gzip.compress(b"x" * 99)[:-9], 400, "the body is cut off: its content-encoding gzip"),
    bad_coding("bomb", "gzip", bomb(), 413, DECOMPRESSED),
    bad_coding("bomb for TensorFlow Serving", "gzip", bomb(), 413, DECOMPRESSED, TENSORFLOW),
    bad_coding("many members", "gzip", gzip.compress(b"x") * 999, 413, "has 17 members or more, the limit is 16"),
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
    BadRequest("binary size without its header", body(binary(256)), 400, "no header 'inference-header-content-length'"),
    bad_binary("header length a word", b"", "must be a whole number of bytes", tensor(), length="ten"),
    bad_binary("header length negative", b"", "is '-5', must be a whole number", tensor(), length="-5"),
    bad_binary("header length beyond the body", b"", "is 90000, but the body has", tensor(), length="90000"),
    bad_binary("header length too short", b"", "the body is not JSON", tensor(), length="9"),
    bad_binary("bytes missing", bytes(255), "but only 255 bytes are left of the body", binary(256)),
    bad_binary("bytes left over", bytes(257), "the body has 1 bytes behind its last tensor", binary(256)),
    bad_binary("bytes nobody asked for", bytes(4), "the body has 4 bytes behind its last tensor", tensor()),
    bad_binary("binary size not that of the shape", bytes(252), "has 252 bytes, shape [1, 64] of FP32", binary(252)),
    bad_binary("binary size negative", b"", "has -1 as binary_data_size", binary(-1)),
    bad_binary("binary shape negative", bytes(256), "needs a 'shape'", binary(256, shape=[-1, 64])),
    bad_binary("binary and JSON", bytes(256), "both 'data'", tensor(parameters={"binary_data_size": 256})),
    bad_binary("binary BOOL of 2", b"\x02", "a byte of 2; true is 1", binary(1, datatype="BOOL", shape=[1])),
    bad_binary("BYTES runs past", b"\x09\0\0\0abc", "runs past", binary(7, datatype="BYTES", shape=[1])),
    bad_binary(
        "too many BYTES", b"", "BYTES elements, the limit is", binary(0, datatype="BYTES", shape=[2**30]), status=413
    ),
    bad_binary("binary of the wrong datatype", bytes(128), "has datatype FP16", binary(128, datatype="FP16")),
    bad_binary(
        "binary NaN", b"\0\0\xc0\x7f" + bytes(252), "has nan at [0, 0]; this model takes finite numbers", binary(256)
    ),
    bad_binary("raw of half a row", bytes(3), "bytes are no multiple of 256", length="0"),
    BadRequest("raw of nothing", b"", 400, "has 0 rows", headers={"inference-header-content-length": "0"}),
    BadRequest(
        "predict with binary",
        b'{"input": [[1, 2]]}',
        400,
        "no meaning for /predict",
        "/predict",
        headers={"inference-header-content-length": "5"},
    ),
    BadRequest(
        "classification",
        body(tensor(), outputs=[{"name": "label", "parameters": {"classification": 1}}]),
        400,
        "output 'label' has one value a row: classification needs an axis of scores",
    ),
    BadRequest("TF: neither rows nor columns", b"{}", 400, "send one of 'instances'", TENSORFLOW),
    BadRequest("TF: rows and columns", b'{"instances": [], "inputs": []}', 400, "send one of 'instances'", TENSORFLOW),
    BadRequest("TF: rows a number", b'{"instances": 7}', 400, "'instances' must be a list of rows", TENSORFLOW),
    BadRequest("TF: no rows", b'{"instances": []}', 400, "has shape [0], [-1, 64] is expected", TENSORFLOW),
    BadRequest("TF: short rows", b'{"instances": [[1, 2]]}', 400, "has shape [1, 2], [-1, 64]", TENSORFLOW),
    BadRequest("TF: a wrong name", b'{"inputs": {"x": [[1]]}}', 400, "input 'x' is not one of", TENSORFLOW),
    BadRequest("TF: no names", b'{"inputs": {}}', 400, "input 'pixels' is missing", TENSORFLOW),
    BadRequest("TF: base64 of numbers", b'{"instances": [{"b64": "AA=="}]}', 400, "its data holds an obj", TENSORFLOW),
    BadRequest("TF: rows that differ", b'{"instances": [{"pixels": [0]}, 7]}', 400, "number 1 of 'inst", TENSORFLOW),
    BadRequest("TF: an unknown signature", b'{"signature_name": "other"}', 400, "one signature", TENSORFLOW),
    BadRequest("TF: 1,000 deep", b'{"instances": ' + b"[" * 1000 + b"]" * 1000 + b"}", 400, "deep", TENSORFLOW),
    BadRequest("TF: explain", b'{"instances": [[0]]}', 501, "only predicts", "/v1/models/digits:explain"),
    BadRequest("TF: regress", b'{"examples": []}', 400, "needs a model with one output", "/v1/models/digits:regress"),
    BadRequest("TF: no examples", b"{}", 400, "'examples' must be a list of objects", "/v1/models/digits:classify"),
    BadRequest("TF: an unknown verb", b"{}", 405, "method not allowed", "/v1/models/digits:train"),
    BadRequest("TF: GET on predict", b"", 405, "use POST", TENSORFLOW, "GET"),
    BadRequest(
        "TF: binary",
        b"{}",
        400,
        "no meaning for /v1/models",
        TENSORFLOW,
        headers={"inference-header-content-length": "2"},
    ),
    BadRequest("TorchServe: half a row", bytes(3), 400, "3 bytes are no multiple of 256", TORCHSERVE),
    BadRequest("TorchServe: nothing", b"", 400, "has 0 rows", TORCHSERVE),
    BadRequest("TorchServe: explanations", b"[]", 501, "only predicts", "/explanations/digits"),
    BadRequest("TorchServe: unknown version", b"", 404, "no version or label 'v9'", TORCHSERVE + "/v9"),
    BadRequest("TorchServe: DELETE", b"", 405, "use POST", TORCHSERVE, "DELETE"),
    BadRequest("TorchServe: register a model", b"", 501, "switched off", "/models", "POST"),
    bad_form("no JSON", b"[1,", "application/json", "the body is not JSON"),
    bad_form("a string", b'"seven"', "application/json", "needs a list as data, not the string 'seven'"),
    bad_form("form of text", b"data=7", "application/x-www-form-urlencoded", "which tools send by default"),
    bad_form("form without a boundary", b"", "multipart/form-data", "without a boundary"),
    bad_form("form that is none", b"data=7", "multipart/form-data; boundary=b", "is not multipart/form-data"),
    bad_form("form cut off", b"--b\r\n", "multipart/form-data; boundary=b", "is cut off"),
    bad_form("empty form", b"--b--\r\n", "multipart/form-data; boundary=b", "has 0 parts named data or body"),
    BadRequest("priority 10", body(tensor(), parameters={"priority": 10}), 400, "parameter 'priority' is 10, must be"),
    BadRequest("priority true", body(tensor(), parameters={"priority": True}), 400, "parameter 'priority' is true"),
    BadRequest(
        "header timeout 0",
        body(tensor()),
        400,
        "header 'x-request-timeout-seconds' is '0', must be a decimal",
        headers={"x-request-timeout-seconds": "0"},
    ),
    BadRequest(
        "header timeout a word",
        b'{"input": [[0]]}',
        400,
        "'x-request-timeout-seconds' is 'soon'",
        "/predict",
        headers={"x-request-timeout-seconds": "soon"},
    ),
    BadRequest(
        "a long tenant",
        body(tensor()),
        400,
        "header 'x-tenant-id' has 129 characters, the limit is 128",
        headers={"x-tenant-id": "x" * 129},
    ),
]
