"""What V2 over gRPC tells beside inference: a model's metadata, configuration, statistics, and the repository."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.protobuf.json_format import ParseDict
from tritonclient.grpc import model_config_pb2
from tritonclient.grpc import service_pb2 as pb

from serve_app.protocol.v2_config import model_config
from serve_app.protocol.v2_statistics import model_statistics
from serve_app.types import ReleaseInfo, ReleaseStatistics, TensorSpec


def metadata_message(info: ReleaseInfo, versions: Sequence[str]) -> pb.ModelMetadataResponse:
    """The signature of a release, and the versions of its model that are ready."""
    return pb.ModelMetadataResponse(
        name=info.model,
        versions=versions,
        platform=info.platform,
        inputs=map(_tensor, info.inputs),
        outputs=map(_tensor, info.outputs),
    )


def config_message(info: ReleaseInfo) -> pb.ModelConfigResponse:
    """The same configuration as `v2_config.model_config`."""
    return pb.ModelConfigResponse(config=ParseDict(model_config(info), model_config_pb2.ModelConfig()))


def statistics_message(counted: Iterable[tuple[ReleaseInfo, ReleaseStatistics]]) -> pb.ModelStatisticsResponse:
    """The same figures as `v2_statistics.model_statistics`; the message has no field for `replicas`."""
    figures = (model_statistics(info, statistics) for info, statistics in counted)
    return pb.ModelStatisticsResponse(
        model_stats=[ParseDict(figure, pb.ModelStatistics(), ignore_unknown_fields=True) for figure in figures]
    )


def _tensor(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.datatype.value, shape=spec.shape)
