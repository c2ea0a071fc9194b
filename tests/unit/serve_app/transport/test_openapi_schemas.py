import jsonschema
import pytest

from serve_app.transport.openapi import OPERATIONS
from serve_app.transport.openapi_schemas import SCHEMAS


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_one_and_is_used(name):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    used = {"Error"}
    for operation in OPERATIONS:
        used |= {operation.answer, operation.body, *operation.failing.values()}
    assert name in used


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Error", {}),
        ("Ready", {"live": True}),
        ("InferResponse", {"model_name": "m", "model_version": "v1"}),
        ("InferRequest", {"inputs": [{"name": "x", "datatype": "FLOAT", "shape": [1]}]}),
        ("Index", [{"name": "m", "version": "v1", "state": "GONE", "reason": ""}]),
    ],
)
def test_what_an_answer_must_not_be_is_told(name, value):
    assert not jsonschema.Draft202012Validator(SCHEMAS[name]).is_valid(value)
