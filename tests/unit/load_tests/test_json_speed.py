import numpy as np
import orjson
import pytest

from load_tests.json_speed import READERS, _plane, forms, json_body
from serve_app.transport.http import InferHandler, InferRoute


@pytest.mark.parametrize("name", READERS)
def test_every_way_reads_the_same_numbers(name):
    array = np.random.default_rng(1).random((1, 64), np.float32)
    np.testing.assert_array_equal(READERS[name](json_body(array)).ravel(), array.ravel())


async def test_both_forms_of_a_request_have_the_same_answer():
    image = np.random.default_rng(1).random((1, 3, 224, 224), np.float32)
    plane = _plane()
    await plane.directory.refresh()
    answers = [await InferHandler(plane)(InferRoute("m"), form.head, form.body) for form in forms(image).values()]
    await plane.close()
    assert [answer.status for answer in answers] == [200, 200]
    first = [orjson.loads(answer.body)["outputs"][0]["data"] for answer in answers]
    assert first[0] == first[1] == [pytest.approx(float(image[0, 0, 0, 0]))]
