from serve_app.datatypes import Datatype
from serve_app.runtimes.signature import tensor


def test_axis_0_becomes_the_batch_axis():
    config = tensor("x", Datatype.FP32, (1, 3, -1), "source")
    assert (config.shape, config.source) == ((-1, 3, -1), "source")
