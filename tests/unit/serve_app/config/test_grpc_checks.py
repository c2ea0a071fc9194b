from __future__ import annotations

import pytest

import deployments.grpc
from serve_app.config.grpc_checks import SERVICER_FUNCTION, grpc_findings


def found(functions: object) -> list[tuple[tuple[str | int, ...], str]]:
    return list(grpc_findings({"grpc_options": {"grpc_servicer_functions": functions}}))


def test_the_stubs_own_function_is_refused():
    stub = "tritonclient.grpc.service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server"
    sentence = "the gateway cannot read the stubs' own messages; use deployments.grpc.add_inference_service"
    assert found(["mine.add_it", stub]) == [(("grpc_options", "grpc_servicer_functions", 1), sentence)]


@pytest.mark.parametrize("functions", [None, [], [SERVICER_FUNCTION], "a", [1], [None]])
def test_others_are_rays_to_judge(functions):
    assert found(functions) == []
    assert list(grpc_findings({})) == []


def test_the_function_named_is_there():
    module, _, name = SERVICER_FUNCTION.rpartition(".")
    assert module == deployments.grpc.__name__
    assert callable(getattr(deployments.grpc, name))
