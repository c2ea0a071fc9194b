"""Load and unload over gRPC."""

from __future__ import annotations

import grpc
import pytest
from support.arithmetic import Executor
from support.gateway import plane_of, table
from support.releases import BEARER, FakeControl, admin_of
from tritonclient.grpc import service_pb2 as pb

from serve_app.data_plane.local import LocalCluster
from serve_app.errors import CommandRefused
from serve_app.release.commands import Load, Unload
from serve_app.transport.grpc import GrpcHandler

TRAFFIC = table(arithmetic={"traffic": {"v1": 100}})
METADATA = tuple(BEARER.items())
LOAD, UNLOAD = pb.RepositoryModelLoadRequest, pb.RepositoryModelUnloadRequest


async def ask(method: str, message, admin, metadata=METADATA):
    async with plane_of(LocalCluster(Executor("v1")), TRAFFIC) as plane:
        return await GrpcHandler(plane, admin)(method, message.SerializeToString(), metadata)


async def test_a_model_is_unloaded_and_loaded_with_a_token_in_the_metadata():
    control = FakeControl()
    out = await ask("RepositoryModelUnload", UNLOAD(model_name="arithmetic"), admin_of(control))
    back = await ask("RepositoryModelLoad", LOAD(model_name="arithmetic"), admin_of(control))
    assert (out.code, out.message) == (grpc.StatusCode.OK, pb.RepositoryModelUnloadResponse())
    assert (back.code, back.message) == (grpc.StatusCode.OK, pb.RepositoryModelLoadResponse())
    actor = "admin token"
    assert control.commands == [Unload(model="arithmetic", actor=actor), Load(model="arithmetic", actor=actor)]


@pytest.mark.parametrize(
    ("message", "is_on", "metadata", "code", "says"),
    [
        (LOAD(model_name="arithmetic"), False, METADATA, "UNIMPLEMENTED", "switch it on with args.admin"),
        (LOAD(model_name="arithmetic"), True, (), "UNAUTHENTICATED", "loading a model by a call needs a token"),
        (LOAD(model_name="arithmetic"), True, (("authorization-bin", b"x"),), "UNAUTHENTICATED", "needs a token"),
        (LOAD(model_name="cats"), True, METADATA, "NOT_FOUND", "model 'cats' is not served here"),
        (
            LOAD(model_name="arithmetic", parameters={"config": pb.ModelRepositoryParameter(string_param="{}")}),
            True,
            METADATA,
            "UNIMPLEMENTED",
            "a load takes no parameters here",
        ),
    ],
)
async def test_refusals_have_their_code_and_sentence(message, is_on, metadata, code, says):
    control = FakeControl()
    answer = await ask("RepositoryModelLoad", message, admin_of(control, is_on=is_on), metadata)
    assert (answer.code, control.commands) == (grpc.StatusCode[code], [])
    assert says in answer.details


async def test_the_controllers_no_is_a_failed_precondition():
    admin = admin_of(FakeControl(CommandRefused("no application runs a release of it")))
    answer = await ask("RepositoryModelUnload", UNLOAD(model_name="arithmetic"), admin)
    assert (answer.code, answer.details) == (grpc.StatusCode.FAILED_PRECONDITION, "no application runs a release of it")
