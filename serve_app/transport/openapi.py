"""The OpenAPI document of every route, and a page that shows it without a script or a file from elsewhere.

Tests compare it with the routes there are, and the answers of a running gateway with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape
from importlib.metadata import version as package_version
from typing import NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from serve_app.protocol.call import EXPLAIN_FIELD, VERSION_FIELD
from serve_app.transport.openapi_schemas import SCHEMAS, STRING, Schema

JSON, BYTES, EVENTS, TEXT, HTML = (
    "application/json",
    "application/octet-stream",
    "text/event-stream",
    "text/plain",
    "text/html",
)
VERSIONS = ("", "/versions/{version}", "/labels/{version}")
"""What may follow a model in a URL: nothing, which leaves it to the traffic split, a version tag, or a label."""

_FLAG: Schema = {"enum": ["1", "true", "0", "false"]}
_EXPLAIN: list[dict[str, object]] = [
    {
        "name": name,
        "in": place,
        "schema": _FLAG,
        "description": "Say in server-timing, and by V2 in the answer's parameter `explanation`, which nodes of a "
        "graph the request went through and where its time went; 403 where the gateway's args.explain is not set.",
    }
    for name, place in (("explain", "query"), (EXPLAIN_FIELD, "header"))
]
_VERSION: list[dict[str, object]] = [
    {
        "name": VERSION_FIELD,
        "in": "header",
        "schema": STRING,
        "description": "A version tag or label that wins over the traffic split.",
    }
]
_INFERS = re.compile(r"/infer$|/generate(_stream)?$|:(predict|classify|regress)$|^/predict$|^/predictions/")
_PARAMETER = re.compile(r"{(\w+)}")


class Operation(NamedTuple):
    """One method of a path, or of its variants.

    Attributes:
        path: As Starlette writes it; `[v]` stands for each of `VERSIONS`.
        method: In lower case.
        summary: What it does, in a sentence.
        answer: Name of the schema of its 200 answer, or the content type where it is no JSON.
        body: Name of the schema of its body; empty if there is none.
        example: A body for a model whose only input is `x` of shape [-1, 3].
        query: Names of its query parameters.
        raw: Whether the body may also be bytes.
        explained: Whether the answer can be explained, as a query parameter or a header says.
        failing: Name of the schema of an answer over 400 that is no `Error`, by status.
    """

    path: str
    method: str
    summary: str
    answer: str
    body: str = ""
    example: Mapping[str, object] | None = None
    query: tuple[str, ...] = ()
    raw: bool = False
    explained: bool = False
    failing: Mapping[str, str] = {}


_V2, _V1 = "/v2/models/{model}[v]", "/v1/models/{model}[v]"
_X: Mapping[str, object] = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [0, 1, 2]}
_NOT_DONE = "Not done here, and says why (501)."
_SWITCHED = "Needs the token of the gateway's args.admin, without which it is off (501)."

OPERATIONS = (
    Operation("/v2", "get", "Name, version and extensions of the server.", "Server"),
    Operation("/v2/health/live", "get", "Whether the process answers.", "Live"),
    Operation("/v2/health/ready", "get", "Whether every model can be answered.", "Ready", failing={"503": "Ready"}),
    Operation("/v2/models", "get", "Names of the models.", "Names"),
    Operation(_V2, "get", "Signature, and what was learned of a version.", "Model"),
    Operation(_V2 + "/ready", "get", "Whether it can be answered.", "ModelReady", failing={"503": "ModelReady"}),
    Operation(
        _V2 + "/infer",
        "post",
        "Infer; bodies and answers are JSON, or JSON with binary tensors behind it.",
        "InferResponse",
        "InferRequest",
        {"inputs": [_X]},
        raw=True,
        explained=True,
    ),
    Operation(
        _V2 + "/generate",
        "post",
        "Infer with flat JSON; exactly one response.",
        "GenerateResponse",
        "GenerateRequest",
        {"x": [0, 1, 2]},
    ),
    Operation(
        _V2 + "/generate_stream",
        "post",
        "Infer with flat JSON; each response is an event.",
        EVENTS,
        "GenerateRequest",
        {"x": [0, 1, 2]},
    ),
    Operation(_V2 + "/config", "get", "Triton's model configuration.", "Config"),
    Operation(_V2 + "/stats", "get", "What a version has executed.", "Statistics"),
    Operation("/v2/models/stats", "get", "What every version has executed.", "Statistics"),
    *(
        operation
        for repository in ("/v2/repository", "/v2/repository/{repository}")
        for operation in (
            Operation(
                repository + "/index", "post", "Every version, its state and traffic.", "Index", "IndexRequest", {}
            ),
            Operation(
                repository + "/models/{model}/load", "post", f"Deploy what was unloaded. {_SWITCHED}", "Settings"
            ),
            Operation(repository + "/models/{model}/unload", "post", f"Delete its releases. {_SWITCHED}", "Settings"),
        )
    ),
    *(
        operation
        for path in ("/v2/trace/setting", "/v2/models/{model}/trace/setting", "/v2/logging")
        for operation in (
            Operation(path, "get", "Triton's settings; they cannot be changed.", "Settings"),
            Operation(path, "post", _NOT_DONE, "Settings"),
        )
    ),
    *(
        operation
        for kind in ("/v2/systemsharedmemory", "/v2/cudasharedmemory")
        for path in (kind, kind + "/region/{region}")
        for operation in (
            Operation(path + "/status", "get", "The regions: there are none.", "Regions"),
            Operation(path + "/register", "post", _NOT_DONE, "Settings"),
            Operation(path + "/unregister", "post", _NOT_DONE, "Settings"),
        )
    ),
    Operation(
        _V1 + ":predict",
        "post",
        "TensorFlow Serving's predict, in rows or columns.",
        "TensorflowResponse",
        "TensorflowRequest",
        {"instances": [[0, 1, 2]]},
        explained=True,
    ),
    Operation(
        _V1 + ":classify",
        "post",
        "Pairs of label and score.",
        "Results",
        "ExamplesRequest",
        {"examples": [{"x": [0, 1, 2]}]},
        explained=True,
    ),
    Operation(
        _V1 + ":regress",
        "post",
        "One number for each example.",
        "Results",
        "ExamplesRequest",
        {"examples": [{"x": [0, 1, 2]}]},
        explained=True,
    ),
    Operation(_V1 + ":explain", "post", _NOT_DONE, "Settings", "TensorflowRequest", {"instances": [[0, 1, 2]]}),
    Operation(_V1, "get", "TensorFlow Serving's status of versions.", "TensorflowStatus"),
    Operation(_V1 + "/metadata", "get", "TensorFlow Serving's signature.", "TensorflowMetadata"),
    Operation("/ping", "get", "TorchServe's health.", "Ping", failing={"500": "Ping"}),
    Operation("/models", "get", "TorchServe's list.", "TorchserveModels", query=("limit", "next_page_token")),
    Operation("/models/{model}", "get", "TorchServe's description.", "Descriptions", query=("customized",)),
    Operation(
        "/models/{model}/{version}", "get", "The same of a version, or `all`.", "Descriptions", query=("customized",)
    ),
    Operation(
        "/models",
        "post",
        f"TorchServe's registering. {_SWITCHED}",
        "Status",
        query=("url", "model_name", "initial_workers", "synchronous"),
    ),
    *(
        operation
        for path in ("/models/{model}", "/models/{model}/{version}")
        for operation in (
            Operation(path, "put", f"TorchServe's scaling. {_SWITCHED}", "Status", query=("min_worker", "max_worker")),
            Operation(path, "delete", f"TorchServe's unregistering. {_SWITCHED}", "Status"),
        )
    ),
    Operation("/models/{model}/{version}/set-default", "put", f"All traffic to it. {_SWITCHED}", "Status"),
    Operation("/v2/releases", "get", "Versions, rollouts, gates and events of every model.", "Settings"),
    Operation("/v2/releases/{model}", "get", "The same of one model.", "Settings"),
    Operation("/v2/experiments/{name}", "get", "An experiment's metrics by version, with intervals.", "Settings"),
    Operation(
        "/admin/commands",
        "post",
        "A command to the controller of releases; needs the cluster's token, as a bearer.",
        "Settings",
        "Command",
        {"verb": "promote", "model": "arithmetic"},
    ),
    Operation(
        "/v1/feedback",
        "post",
        "True labels of answers, or numbers that say how good they were.",
        "Accepted",
        "Feedback",
        {"request_id": "r1", "label": "3"},
    ),
    *(
        Operation(
            f"/{verb}/{{model}}{version}",
            method,
            "TorchServe's predictions: JSON, raw bytes or a form." if verb == "predictions" else _NOT_DONE,
            "Predictions",
            "Rows",
            raw=True,
            explained=verb == "predictions",
        )
        for verb in ("predictions", "explanations")
        for version in ("", "/{version}")
        for method in ("post", "put")
    ),
    Operation(
        "/predict",
        "post",
        "Rows to predictions of the default model.",
        "PredictResponse",
        "PredictRequest",
        {"input": [[0, 1, 2]]},
        explained=True,
    ),
    Operation("/metrics", "get", "Metrics of the whole cluster, as Prometheus reads them.", TEXT),
    Operation("/openapi.json", "get", "This description.", "Settings"),
    Operation("/docs", "get", "This description for people.", HTML),
)


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


class OpenApi:
    """The handlers of the description.

    Attributes:
        routes: For a Starlette application.
    """

    def __init__(self) -> None:
        document = openapi_document()
        self._document, self._page = document, docs_page(document)
        self.routes = [Route("/openapi.json", self.document), Route("/docs", self.docs)]

    async def document(self, request: Request) -> Response:
        """`GET /openapi.json`: OpenAPI 3.1."""
        return JSONResponse(self._document)

    async def docs(self, request: Request) -> Response:
        """`GET /docs`: the same as a page, which needs no script and nothing from elsewhere."""
        headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return HTMLResponse(self._page, headers=headers)


def openapi_document() -> dict[str, object]:
    """Every route with its bodies and answers, as OpenAPI 3.1."""
    paths: dict[str, dict[str, object]] = {}
    for operation in OPERATIONS:
        for version in VERSIONS if "[v]" in operation.path else ("",):
            path = operation.path.replace("[v]", version)
            paths.setdefault(path, {})[operation.method] = _described(operation, path)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "serve-app",
            "version": package_version("serve-app"),
            "description": "Open Inference Protocol V2 with Triton's extensions, TensorFlow Serving's and TorchServe's "
            "REST, and /predict. Over gRPC there is inference.GRPCInferenceService beside it.",
        },
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


def docs_page(document: Mapping[str, object]) -> str:
    """An OpenAPI document as one page of HTML."""
    parts = [_HEAD.format(**{name: escape(str(value)) for name, value in _info(document).items()})]
    for path, methods in _items(document["paths"]):
        for method, operation in _items(methods):
            parts.append(_section(path, method, dict(_items(operation))))
    schemas = dict(_items(document["components"]))["schemas"]
    parts.append("<h2>Schemas</h2>")
    parts.extend(f'<h3 id="{escape(name)}">{escape(name)}</h3>{_pre(schema)}' for name, schema in _items(schemas))
    return "\n".join(parts)


_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px sans-serif;max-width:60em;margin:2em auto;padding:0 1em}}pre{{background:#f4f4f4;padding:.5em;
overflow:auto}}summary{{cursor:pointer;padding:.2em}}code b{{display:inline-block;width:3.5em}}</style>
<h1>{title} {version}</h1><p>{description}</p>"""


def _described(operation: Operation, path: str) -> dict[str, object]:
    inside = [{"name": name, "in": "path", "required": True, "schema": STRING} for name in _PARAMETER.findall(path)]
    asked = [{"name": name, "in": "query", "schema": STRING} for name in operation.query]
    named = _VERSION if _INFERS.search(path) and "{version}" not in path else []
    described: dict[str, object] = {
        "summary": operation.summary,
        "operationId": re.sub(r"\W+", "_", f"{operation.method}{path}").strip("_"),
        "parameters": inside + asked + named + (_EXPLAIN if operation.explained else []),
        "responses": _responses(operation),
    }
    if operation.body:
        content: dict[str, object] = {JSON: {"schema": _ref(operation.body)}}
        if operation.example is not None:
            content = {JSON: {"schema": _ref(operation.body), "example": operation.example}}
        if operation.raw:
            content[BYTES] = {}
        described["requestBody"] = {"required": operation.body != "IndexRequest", "content": content}
    return described


def _responses(operation: Operation) -> dict[str, object]:
    if operation.answer in SCHEMAS:
        good: dict[str, object] = {JSON: {"schema": _ref(operation.answer)}}
        if operation.raw and operation.answer == "InferResponse":
            good[BYTES] = {}
    else:
        good = {operation.answer: {"schema": STRING}}
    responses: dict[str, object] = {} if operation.summary is _NOT_DONE else {"200": _answer("As asked.", good)}
    for status, schema in operation.failing.items():
        responses[status] = _answer("Not so.", {JSON: {"schema": _ref(schema)}})
    responses["default"] = _answer("Whatever is wrong, in a sentence.", {JSON: {"schema": _ref("Error")}})
    return responses


def _answer(description: str, content: Mapping[str, object]) -> dict[str, object]:
    return {"description": description, "content": content}


def _section(path: str, method: str, operation: Mapping[str, object]) -> str:
    head = f"<code><b>{method.upper()}</b> {escape(path)}</code> {escape(str(operation['summary']))}"
    parts = [f"<details><summary>{head}</summary>"]
    if "requestBody" in operation:
        parts.append(f"Body{_pre(operation['requestBody'])}")
    parts.append(f"Answers{_pre(operation['responses'])}</details>")
    return "".join(parts)


def _pre(value: object) -> str:
    return f"<pre>{escape(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())}</pre>"


def _info(document: Mapping[str, object]) -> Mapping[str, object]:
    return dict(_items(document["info"]))


def _items(value: object) -> Iterable[tuple[str, object]]:
    if not isinstance(value, Mapping):
        raise TypeError(f"an object is expected, not {type(value).__name__}")
    return value.items()
