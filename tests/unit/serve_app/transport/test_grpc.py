"""The methods over a gateway in this process, without any server."""

from __future__ import annotations

import asyncio
import logging
import re

import grpc
import numpy as np
import pytest
from support.arithmetic import INFO, Executor, Recording
from support.decoupled import Counting, server_of
from support.gateway import plane_of, table
from tritonclient.grpc import service_pb2 as pb

from serve_app.config.gateway import LimitsConfig
from serve_app.data_plane.local import LocalCluster
from serve_app.transport.grpc import NOT_SUPPORTED, GrpcAnswer, GrpcHandler, with_deadline
from serve_app.types import TensorSpec

TRAFFIC = table("arithmetic", arithmetic={"traffic": {"v1": 100}, "labels": {"stable": "v1", "next": "v2"}})
V2_FAILED = {"arithmetic-v2": "the disk is full"}


def handler_of(*executors, traffic=TRAFFIC, **options):
    return plane_of(LocalCluster(*(executors or (Executor(),)), failures=V2_FAILED), traffic, **options)


async def ask(method: str, message=None, metadata=(), executor: Executor | None = None, **options) -> GrpcAnswer:
    executors = (executor,) if executor else ()
    async with handler_of(*executors, **options) as plane:
        return await GrpcHandler(plane)(method, message.SerializeToString() if message else b"", metadata)


def infer_message(*rows: list[float], name: str = "arithmetic", **more) -> pb.ModelInferRequest:
    x = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[len(rows), 3])
    raw = np.array(rows, "<f4").tobytes()
    return pb.ModelInferRequest(model_name=name, inputs=[x], raw_input_contents=[raw], **more)


async def test_an_inference_is_answered():
    answer = await ask("ModelInfer", infer_message([0, 1, 2], [3, 4, 5], id="mine"), [("x-request-id", "r7")])
    assert (answer.code, answer.details, answer.trailers) == (grpc.StatusCode.OK, "", (("x-request-id", "r7"),))
    assert (answer.message.model_name, answer.message.model_version, answer.message.id) == ("arithmetic", "v1", "mine")
    assert [(output.name, list(output.shape)) for output in answer.message.outputs] == [("y", [2, 3]), ("total", [2])]
    y, total = answer.message.raw_output_contents
    assert np.frombuffer(y, "<f4").tolist() == [1, 3, 5, 7, 9, 11]
    assert np.frombuffer(total, "<i8").tolist() == [3, 12]


async def test_classes_come_instead_of_scores():
    labels = ("low", "middle", "high")
    executor = Executor(outputs=(TensorSpec("y", INFO.outputs[0].datatype, (-1, 3), labels), INFO.outputs[1]))
    two = pb.InferParameter(int64_param=2)
    wanted = pb.ModelInferRequest.InferRequestedOutputTensor(name="y", parameters={"classification": two})
    answer = await ask("ModelInfer", infer_message([0, 1, 2], outputs=[wanted]), executor=executor)
    (output,) = answer.message.outputs
    assert (output.name, output.datatype, list(output.shape)) == ("y", "BYTES", [1, 2])
    assert list(answer.message.raw_output_contents) == [
        b"\x0f\0\0\0" + b"5.000000:2:high" + b"\x11\0\0\0" + b"3.000000:1:middle"
    ]


@pytest.mark.parametrize(
    ("message", "metadata", "code", "sentence"),
    [
        (infer_message([0, 1, 2], name="other"), (), "NOT_FOUND", "model 'other' is not served here"),
        (infer_message([0, 1, 2], model_version="v9"), (), "NOT_FOUND", "no version or label 'v9'"),
        (infer_message([0, 1, 2], model_version="next"), (), "UNAVAILABLE", "the disk is full"),
        (infer_message(), (), "INVALID_ARGUMENT", "input 'x' has 0 rows, at least 1 is needed"),
        (pb.ModelInferRequest(model_name="arithmetic"), (), "INVALID_ARGUMENT", "'inputs' is empty"),
        (infer_message([0, 1, 2]), [("x-request-timeout-seconds", "soon")], "INVALID_ARGUMENT", "decimal number"),
        (infer_message([0, 1, 2]), [("x-tenant-id", "é")], "INVALID_ARGUMENT", "printable ASCII"),
        (infer_message(*[[0, 1, 2]] * 3000), (), "RESOURCE_EXHAUSTED", "the message has .* bytes, the limit is 20000"),
    ],
)
async def test_refusals_have_their_code_and_sentence(message, metadata, code, sentence):
    answer = await ask("ModelInfer", message, metadata, limits=LimitsConfig(max_body_bytes=20000))
    assert answer.code is grpc.StatusCode[code]
    assert re.search(sentence, answer.details)
    assert answer.message is None


@pytest.mark.parametrize(
    "metadata",
    [
        [("x-request-timeout-seconds", "0.05")],
        with_deadline([("x-request-timeout-seconds", "20")], 0.05),
        with_deadline([], 0.05),
    ],
)
async def test_the_shortest_time_is_the_deadline(metadata):
    model = Recording(held=True)
    async with handler_of(Executor("v1", model)) as plane:
        answer = await GrpcHandler(plane)("ModelInfer", infer_message([0, 1, 2]).SerializeToString(), metadata)
        model.release()
    assert (answer.code, answer.details) == (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "arithmetic-v1 could not answer within 0.05 s",
    )
    assert dict(answer.trailers)["retry-after"] == "1"


async def test_while_the_event_loop_is_behind_a_request_is_turned_away_before_it_is_decoded():
    wrong, hasty = infer_message(), [("x-request-timeout-seconds", "0.05")]
    async with handler_of() as plane:
        plane._lag.stop()
        plane._lag.lag_s = 60.0
        refused = await GrpcHandler(plane)("ModelInfer", wrong.SerializeToString(), hasty)
        assert plane._accounting.arms.of("arithmetic", "v1").deadline_misses == 1
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "the request allows 50 ms" in refused.details


def test_a_deadline_joins_the_metadata_as_time_left():
    assert with_deadline([("a", "b")], None) == [("a", "b")]
    assert with_deadline([("a", "b")], 1.5) == (("a", "b"), ("x-request-timeout-seconds", "1.500000"))
    assert with_deadline((), 0.0) == (("x-request-timeout-seconds", "0.000001"),)


async def test_a_caller_that_leaves_ends_its_call():
    model = Recording(held=True)
    async with handler_of(Executor("v1", model)) as plane:
        call = asyncio.create_task(GrpcHandler(plane)("ModelInfer", infer_message([0, 1, 2]).SerializeToString(), ()))
        await asyncio.to_thread(model.started.wait, 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        model.release()


async def test_bytes_that_are_no_message_are_refused():
    async with handler_of() as plane:
        answers = [await GrpcHandler(plane)(method, b"\xff", ()) for method in ("ModelInfer", "ModelReady")]
    assert {answer.code for answer in answers} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert answers[0].details.startswith("the message is no ModelInferRequest: ")


class Broken:
    """A data plane with a fault of its own."""

    limits = LimitsConfig()

    @property
    def directory(self) -> None:
        raise ZeroDivisionError

    def request_id(self, given: str) -> str:
        return given


async def test_a_fault_is_told_by_its_id_only(caplog):
    with caplog.at_level(logging.ERROR, "serve_app.grpc"):
        answer = await GrpcHandler(Broken())("ServerReady", b"", [("x-request-id", "r1")])
    assert answer.code is grpc.StatusCode.INTERNAL
    assert answer.details == "internal error; the server's log has it under request id r1"
    assert "ZeroDivisionError" in caplog.text


async def test_health_is_told():
    assert (await ask("ServerLive", pb.ServerLiveRequest())).message.live
    assert (await ask("ServerReady", pb.ServerReadyRequest())).message.ready


@pytest.mark.parametrize(
    ("name", "version", "ready"),
    [
        ("arithmetic", "", True),
        ("arithmetic", "v1", True),
        ("arithmetic", "stable", True),
        ("arithmetic", "next", False),
        ("arithmetic", "v9", False),
        ("other", "", False),
    ],
)
async def test_a_models_readiness_is_told(name, version, ready):
    answer = await ask("ModelReady", pb.ModelReadyRequest(name=name, version=version))
    assert (answer.code, answer.message.ready) == (grpc.StatusCode.OK, ready)


async def test_metadata_are_told():
    server = (await ask("ServerMetadata", pb.ServerMetadataRequest())).message
    assert server.name == "serve-app"
    assert "statistics" in server.extensions
    model = (await ask("ModelMetadata", pb.ModelMetadataRequest(name="arithmetic"))).message
    assert (model.name, list(model.versions), [given.name for given in model.inputs]) == ("arithmetic", ["v1"], ["x"])
    config = (await ask("ModelConfig", pb.ModelConfigRequest(name="arithmetic", version="v1"))).message.config
    assert config.max_batch_size == 8


async def test_statistics_are_told():
    async with handler_of() as plane:
        handler = GrpcHandler(plane)
        await handler("ModelInfer", infer_message([0, 1, 2], [3, 4, 5]).SerializeToString(), ())
        (told,) = (await handler("ModelStatistics", b"", ())).message.model_stats
    assert (told.name, told.inference_count, told.execution_count) == ("arithmetic", 2, 1)


async def test_the_repository_is_told():
    def listed(answer: GrpcAnswer) -> list[tuple[str, str, str, str]]:
        return [(model.name, model.version, model.state, model.reason) for model in answer.message.models]

    whole = await ask("RepositoryIndex", pb.RepositoryIndexRequest())
    ready = await ask("RepositoryIndex", pb.RepositoryIndexRequest(ready=True))
    assert listed(ready) == [("arithmetic", "v1", "READY", "")]
    assert listed(whole) == [*listed(ready), ("arithmetic", "v2", "UNAVAILABLE", "the disk is full")]


@pytest.mark.parametrize("method", NOT_SUPPORTED)
async def test_the_other_methods_say_why_not(method):
    answer = await ask(method)
    assert (answer.code, answer.details) == (grpc.StatusCode.UNIMPLEMENTED, NOT_SUPPORTED[method])


async def test_every_method_of_the_service_is_known():
    names = {method.name for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods}
    assert len(names) == 20
    async with handler_of() as plane:
        unary = names - {"ModelInfer", "ModelStreamInfer"}
        answers = {name: (await GrpcHandler(plane)(name, b"", ())).code for name in unary}
    switched_off = {"RepositoryModelLoad", "RepositoryModelUnload"}
    unimplemented = {name for name, code in answers.items() if code is grpc.StatusCode.UNIMPLEMENTED}
    assert unimplemented == set(NOT_SUPPORTED) | switched_off
    assert (await ask("Nothing")).code is grpc.StatusCode.UNIMPLEMENTED


async def streamed(*messages: bytes) -> list[pb.ModelStreamInferResponse]:
    async def sent():
        for message in messages:
            yield message

    async with handler_of() as plane:
        return [answer async for answer in GrpcHandler(plane).stream(sent(), ())]


async def test_every_request_of_a_stream_is_answered_with_its_id():
    messages = [infer_message([0, 1, n], id=str(n)).SerializeToString() for n in range(5)]
    answers = {answer.infer_response.id: answer.infer_response for answer in await streamed(*messages)}
    assert sorted(answers) == ["0", "1", "2", "3", "4"]
    totals = {name: np.frombuffer(answer.raw_output_contents[1], "<i8").tolist() for name, answer in answers.items()}
    assert totals == {"0": [1], "1": [2], "2": [3], "3": [4], "4": [5]}


async def test_a_bad_request_is_a_message_and_the_stream_goes_on():
    good = infer_message([0, 1, 2], id="good").SerializeToString()
    bad = infer_message([0, 1, 2], name="other", id="bad").SerializeToString()
    answers = {answer.infer_response.id: answer.error_message for answer in await streamed(bad, good, b"\xff")}
    assert answers["good"] == ""
    assert "model 'other' is not served here" in answers["bad"]
    assert answers[""].startswith("the message is no ModelInferRequest")


async def test_who_asks_is_told_which_answer_is_the_last():
    asks = {"triton_enable_empty_final_response": pb.InferParameter(bool_param=True)}
    answers = await streamed(infer_message([0, 1, 2], parameters=asks).SerializeToString())
    finals = [answer.infer_response.parameters["triton_final_response"].bool_param for answer in answers]
    assert (finals, [len(answer.infer_response.outputs) for answer in answers]) == ([False, True], [2, 0])


async def test_a_decoupled_model_answers_a_request_of_a_stream_several_times():
    upto = pb.ModelInferRequest.InferInputTensor(name="upto", datatype="INT64", shape=[1])
    message = pb.ModelInferRequest(
        model_name="count", id="c", inputs=[upto], raw_input_contents=[np.array([3]).tobytes()]
    ).SerializeToString()

    async def sent():
        yield message

    async with plane_of(LocalCluster(server_of(Counting())), table(count={"traffic": {"v1": 100}})) as plane:
        answers = [answer async for answer in GrpcHandler(plane).stream(sent(), ())]
        unary = await GrpcHandler(plane)("ModelInfer", message, ())
        config = await GrpcHandler(plane)("ModelConfig", pb.ModelConfigRequest(name="count").SerializeToString(), ())
    numbers = [np.frombuffer(answer.infer_response.raw_output_contents[0], "<i8")[0] for answer in answers]
    assert (numbers, {answer.infer_response.id for answer in answers}) == ([1, 2, 3], {"c"})
    assert (unary.code, "ModelStreamInfer" in unary.details) == (grpc.StatusCode.UNIMPLEMENTED, True)
    assert config.message.config.model_transaction_policy.decoupled
