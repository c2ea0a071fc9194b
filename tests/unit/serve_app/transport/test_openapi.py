"""The description is true: of every route there is, and of nothing else."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import jsonschema
import pytest
from starlette.routing import Route
from support.arithmetic import Executor
from support.doors import digits_plane
from support.gateway import client_of, plane_of, scrape, table
from support.releases import BEARER, FakeControl, admin_of

from serve_app.data_plane.local import LocalCluster
from serve_app.transport.http import match_infer
from serve_app.transport.openapi import openapi_document
from serve_app.transport.pages import Pages

DOCUMENT = openapi_document()
OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]
HOT = re.compile(r"/infer$|:\w+$|^/predict$|^/predictions/|^/explanations/")


def filled(path: str, model: str = "arithmetic") -> str:
    """The path with names that are there."""
    values = {"model": model, "version": "stable" if "/labels/" in path else "v1", "repository": "r", "region": "r"}
    values["name"] = "layout"
    return re.sub(r"{(\w+)}", lambda match: values[match[1]], path)


async def test_every_page_is_described_and_every_description_is_a_page():
    async with digits_plane() as plane:
        routes = [route for route in Pages(plane, scrape).app.routes if isinstance(route, Route)]
    there = {(route.path, method.lower()) for route in routes for method in route.methods - {"HEAD"}}
    assert there == {(path, method) for path, method in OPERATIONS if not HOT.search(path)}


def test_every_infer_route_is_described_with_its_methods():
    hot = [path for path in DOCUMENT["paths"] if HOT.search(path)]
    assert len(hot) == 3 + 4 * 3 + 1 + 4
    for path in hot:
        route = match_infer(filled(path))
        assert route is not None, path
        assert {method.upper() for method in DOCUMENT["paths"][path]} == set(route.codec.methods)


def conforms(answer, path: str, method: str) -> None:
    responses = DOCUMENT["paths"][path][method]["responses"]
    described = responses.get(str(answer.status_code), responses.get("default"))
    content_type = answer.headers["content-type"].partition(";")[0]
    schema = described["content"][content_type].get("schema", {})
    if content_type == "application/json":
        jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(answer.json())


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
async def test_the_example_of_each_operation_is_answered_as_described(path, method):
    """Both in a good state and for a model that nobody serves; and what cannot be said is 501 as described."""
    operation = DOCUMENT["paths"][path][method]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    traffic = table("arithmetic", arithmetic={"traffic": {"v1": 100}, "labels": {"stable": "v1"}})
    sent = body.get("example", [[0, 1, 2]] if body else None)
    async with plane_of(LocalCluster(Executor()), traffic) as plane:
        plane.feedback = list
        async with client_of(plane, admin_of(FakeControl())) as client:
            answer = await client.request(method, filled(path), json=sent, headers=BEARER)
            other = await client.request(method, filled(path, "nobody"), json=sent, headers=BEARER)
    is_regression = path.endswith(":regress")  # of a model that gives no single number
    is_region = "{region}" in path and method == "get"
    is_registering = (path, method) == ("/models", "post")  # without its url
    is_wrong = is_regression or is_region or is_registering
    expected = 501 if "200" not in operation["responses"] else 400 if is_wrong else 200
    assert answer.status_code == expected, answer.text
    for told in (answer, other):
        conforms(told, path, method)
    if "{model}" in path and "200" in operation["responses"]:
        assert other.status_code == 404


async def test_the_document_and_the_page_are_served():
    async with digits_plane() as plane, client_of(plane) as client:
        document, page = await client.get("/openapi.json"), await client.get("/docs")
    assert document.json() == DOCUMENT
    links = Links()
    links.feed(page.text)
    assert links.loaded == []
    assert all(f"</b> {path}</code>" in page.text for path, _ in OPERATIONS)
    assert "default-src 'none'" in page.headers["content-security-policy"]


class Links(HTMLParser):
    """Everything that a page would have its browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.loaded += [value for name, value in attrs if name in ("src", "href") and not value.startswith("#")]
        if tag == "script":
            self.loaded.append(tag)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_whatever_infers_can_be_explained(path, method):
    operation = DOCUMENT["paths"][path][method]
    asked = {(one["in"], one["name"]) for one in operation["parameters"]} & {
        ("query", "explain"),
        ("header", "x-explain"),
    }
    infers = HOT.search(path) is not None and "200" in operation["responses"]
    assert len(asked) == (2 if infers else 0)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_whatever_infers_takes_a_version_by_url_or_header(path, method):
    operation = DOCUMENT["paths"][path][method]
    asked = [one for one in operation["parameters"] if one["name"] in ("version", "x-model-version")]
    infers = re.search(r"/generate(_stream)?$", path) or (HOT.search(path) and "200" in operation["responses"])
    assert len(asked) == (1 if infers or "{version}" in path else 0)
