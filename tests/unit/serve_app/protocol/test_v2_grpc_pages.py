from __future__ import annotations

from dataclasses import replace

from support.arithmetic import INFO
from tritonclient.grpc import model_config_pb2

from serve_app.protocol.v2_grpc_pages import config_message, metadata_message, statistics_message
from serve_app.types import Duration, ReleaseStatistics, SizeStatistics


def test_metadata_tell_the_signature():
    told = metadata_message(INFO, ["v1", "v2"])
    assert (told.name, list(told.versions), told.platform) == ("arithmetic", ["v1", "v2"], "python")
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in (*told.inputs, *told.outputs)] == [
        ("x", "FP32", [-1, 3]),
        ("y", "FP32", [-1, 3]),
        ("total", "INT64", [-1]),
    ]


def test_the_configuration_is_tritons_message():
    config = config_message(replace(INFO, allowed_rows=(2, 8))).config
    assert (config.name, config.max_batch_size) == ("arithmetic", 8)
    assert list(config.dynamic_batching.preferred_batch_size) == [2, 8]
    (given,) = config.input
    assert (given.name, given.data_type, list(given.dims)) == ("x", model_config_pb2.TYPE_FP32, [3])
    assert config.parameters["version"].string_value == "v1"


def test_statistics_tell_rows_and_batches():
    sizes = {4: SizeStatistics(Duration(2, 0.001), Duration(2, 0.5))}
    figures = ReleaseStatistics(answered=Duration(3, 1.5), sizes=sizes, last_executed_s=2.0)
    (told,) = statistics_message([(INFO, figures)]).model_stats
    assert (told.name, told.version, told.last_inference) == ("arithmetic", "v1", 2000)
    assert (told.inference_count, told.execution_count) == (8, 2)
    assert (told.inference_stats.success.count, told.inference_stats.success.ns) == (3, 1_500_000_000)
    (batch,) = told.batch_stats
    assert (batch.batch_size, batch.compute_infer.count, batch.compute_infer.ns) == (4, 2, 500_000_000)
