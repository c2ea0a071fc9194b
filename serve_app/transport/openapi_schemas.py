"""The schemas of bodies and answers in the OpenAPI document, as JSON Schema 2020-12."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from serve_app.datatypes import Datatype
from serve_app.release.parsing import MAX_ITEMS, VERBS
from serve_app.types import MAX_PRIORITY

Schema = Mapping[str, object]


def _object(properties: Mapping[str, Schema], required: Iterable[str] = (), **more: object) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required), **more}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


STRING, _NUMBER, _BOOLEAN, _ANY = {"type": "string"}, {"type": "number"}, {"type": "boolean"}, dict[str, object]()
_COUNT = {"type": "integer", "minimum": 0}
_DATATYPE = {"type": "string", "enum": [datatype.value for datatype in Datatype]}
_PARAMETERS: Schema = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
_DATA: Schema = {"type": "array", "description": "Values in row-major order, flat or nested as the shape is."}
_TENSOR: Mapping[str, Schema] = {
    "name": STRING,
    "datatype": _DATATYPE,
    "shape": _array({"type": "integer", "minimum": 0}),
    "data": _DATA,
}
_SIGNATURE = _array(
    _object({**_TENSOR, "shape": _array({"type": "integer", "minimum": -1})}, ("name", "datatype", "shape"))
)
_ROWS = {"description": "Rows as nested lists; an object with the rows of each input by name if there are several."}
_FEEDBACK: Mapping[str, Schema] = {
    "request_id": {"type": "string", "description": "The answer's x-request-id."},
    "label": {"type": ["string", "integer", "boolean"], "description": "What the prediction should have been."},
    "value": {"type": "number", "description": "How good the answer was; more is better."},
}

SCHEMAS: Mapping[str, Schema] = {
    "Error": _object({"error": {"type": "string", "description": "One sentence."}}, ("error",)),
    "Server": _object(
        {"name": STRING, "version": STRING, "extensions": _array(STRING)}, ("name", "version", "extensions")
    ),
    "Live": _object({"live": _BOOLEAN}, ("live",)),
    "Ready": _object({"live": _BOOLEAN, "ready": _BOOLEAN, "error": STRING}, ("live", "ready")),
    "ModelReady": _object({"name": STRING, "ready": _BOOLEAN, "error": STRING}, ("name", "ready")),
    "Names": _object({"models": _array(STRING)}, ("models",)),
    "Model": _object(
        {
            "name": STRING,
            "versions": _array(STRING),
            "platform": STRING,
            "inputs": _SIGNATURE,
            "outputs": _SIGNATURE,
            "parameters": {"type": "object"},
        },
        ("name", "versions", "platform", "inputs", "outputs"),
    ),
    "InferRequest": _object(
        {
            "id": STRING,
            "parameters": {
                **_PARAMETERS,
                "description": f"`timeout` (us), `priority` 1 (first) to {MAX_PRIORITY}, `binary_data_output`, "
                "`explain`.",
            },
            "inputs": _array(_object({**_TENSOR, "parameters": _PARAMETERS}, ("name", "datatype", "shape"))),
            "outputs": _array(
                _object(
                    {
                        "name": STRING,
                        "parameters": {**_PARAMETERS, "description": "`classification`: how many; `binary_data`."},
                    },
                    ("name",),
                )
            ),
        },
        ("inputs",),
    ),
    "InferResponse": _object(
        {
            "model_name": STRING,
            "model_version": STRING,
            "id": STRING,
            "parameters": {
                **_PARAMETERS,
                "description": "`left_out`: parts of a graph that failed; `explanation`: JSON, where it was asked for.",
            },
            "outputs": _array(_object({**_TENSOR, "parameters": _PARAMETERS}, ("name", "datatype", "shape"))),
        },
        ("model_name", "model_version", "outputs"),
    ),
    "GenerateRequest": _object(
        {"id": STRING, "parameters": {"type": "object"}},
        additionalProperties=True,
        description="Each input by its name; what is no input is a parameter.",
    ),
    "GenerateResponse": _object(
        {"model_name": STRING, "model_version": STRING, "id": STRING},
        ("model_name", "model_version"),
        additionalProperties=True,
        description="Each output by its name.",
    ),
    "IndexRequest": _object({"ready": {**_BOOLEAN, "description": "Whether to leave out what is not ready."}}),
    "Index": _array(
        _object(
            {
                "name": STRING,
                "version": STRING,
                "state": {"type": "string", "enum": ["READY", "LOADING", "UNAVAILABLE"]},
                "reason": STRING,
                "traffic": _NUMBER,
                "effective_traffic": _NUMBER,
                "labels": _array(STRING),
            },
            ("name", "version", "state", "reason"),
        )
    ),
    "Statistics": _object(
        {"model_stats": _array(_object({"name": STRING, "version": STRING, "inference_count": _COUNT}))},
        ("model_stats",),
    ),
    "Config": _object({"name": STRING, "max_batch_size": _COUNT}, ("name", "max_batch_size", "input", "output")),
    "Settings": {"type": "object"},
    "Regions": _array({"type": "object"}),
    "PredictRequest": _object({"input": _ROWS}, ("input",)),
    "PredictResponse": _object({"prediction": {"type": "array"}}, ("prediction",)),
    "TensorflowRequest": _object(
        {
            "signature_name": STRING,
            "instances": {"type": "array", "description": "One member a row."},
            "inputs": {"description": "Columns: the rows of each input by name, or those of the only one."},
        }
    ),
    "ExamplesRequest": _object(
        {"signature_name": STRING, "context": {"type": "object"}, "examples": {"type": "array"}}
    ),
    "TensorflowResponse": _object({"predictions": {"type": "array"}, "outputs": _ANY}),
    "Results": _object({"results": {"type": "array"}}, ("results",)),
    "TensorflowStatus": _object(
        {"model_version_status": _array(_object({"version": STRING, "state": STRING}, ("version", "state")))},
        ("model_version_status",),
    ),
    "TensorflowMetadata": _object({"model_spec": {"type": "object"}, "metadata": {"type": "object"}}, ("metadata",)),
    "Ping": _object({"status": {"type": "string", "enum": ["Healthy", "Unhealthy"]}}, ("status",)),
    "TorchserveModels": _object({"models": _array({"type": "object"}), "nextPageToken": STRING}, ("models",)),
    "Descriptions": _array(_object({"modelName": STRING, "modelVersion": STRING}, ("modelName", "modelVersion"))),
    "Status": _object({"status": STRING}, ("status",)),
    "Command": _object(
        {"verb": {"type": "string", "enum": list(VERBS)}, "model": STRING, "actor": STRING},
        ("verb",),
        additionalProperties=True,
        description="Beside the verb its own fields; what is wrong with one is said by its name.",
    ),
    "Feedback": _object(
        {**_FEEDBACK, "items": _array(_object(_FEEDBACK, ("request_id",)))},
        description=f"One object with request_id and either label or value; or items, up to {MAX_ITEMS} of them.",
    ),
    "Accepted": _object({"accepted": _COUNT}, ("accepted",)),
    "Rows": {"description": "Rows as nested lists, or one row alone."},
    "Predictions": {"description": "A list with one member a row, or the prediction of the only one."},
}
"""By the name that a reference has."""
