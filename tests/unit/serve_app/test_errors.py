"""Errors cross replicas pickled and keep their sentence; each leaf has its row in the status table."""

from __future__ import annotations

import pickle

import pytest

from serve_app import errors
from serve_app.transport.status import STATUS, http_status

SAMPLES = [
    errors.ManifestError("m/model.yaml", "format: missing"),
    errors.ArtifactMismatch("m/a.onnx", "ab", "cd"),
    errors.UntrustedArtifact("m/a.pkl", "ab12", "a pickle runs code when loaded"),
    errors.InvalidTable("models.digits: traffic weights sum up to 50, not to 100"),
    errors.AcceleratorMissing("digits-v1"),
    errors.CheckFailed("digits-v1", "golden 0: label is 3, 4 is expected"),
    errors.MalformedBody("the body is not JSON"),
    errors.InvalidInput("input 'x'", "has 0 rows"),
    errors.TooLarge("the body", 11, 10, "bytes"),
    errors.BodyTimeout(2.5),
    errors.UnknownCoding("br", ("gzip", "zstd")),
    errors.ModelNotFound("cats", ("digits", "wine")),
    errors.VersionNotFound("digits", "v9", ("v1", "v2")),
    errors.RouteNotFound("/v3"),
    errors.Forbidden("explain", "args.explain: true of the gateway"),
    errors.Unauthorized("POST /admin/commands needs a token"),
    errors.CommandRefused("digits has a rollout under way"),
    errors.NotSupported("explanations of digits: this server only predicts"),
    errors.Overloaded("digits-v1", 64, 2.5),
    errors.TooManyRequests(4096),
    errors.ModelNotReady("digits", "v2", "it is starting"),
    errors.ReplicaLost("digits-v1"),
    errors.ReplicaLost("digits-v1", was_sent=False, may_repeat=False),
    errors.RemoteUnavailable("digits-v1 node triton", "127.0.0.1:8001", "connection refused"),
    errors.ControllerAway("it does not answer"),
    errors.DeadlineExceeded("digits-v1", 0.1),
    errors.DeadlineUnreachable("digits-v1", 0.08, 0.05),
    errors.ModelRaised("digits-v1", "it raised ValueError"),
    errors.WrongAnswer("digits-v1", "output 'y' has 2 rows for 3 rows of input"),
]


def leaves(cls: type) -> set[type]:
    below = cls.__subclasses__()
    return set().union(*map(leaves, below)) if below else {cls}


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling(error):
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_every_leaf_is_sampled_and_has_a_status():
    own = {leaf for leaf in leaves(errors.ServeAppError) if leaf.__module__ == errors.__name__}
    assert {type(error) for error in SAMPLES} == own
    assert set(STATUS) == own


def test_the_tree_in_the_docstring_names_every_error():
    for leaf in leaves(errors.ServeAppError):
        assert leaf.__module__ != errors.__name__ or f" {leaf.__name__} " in errors.__doc__


def test_messages_name_the_thing_its_value_and_the_limit():
    assert str(errors.TooLarge("the body", 11, 10, "bytes")) == "the body has 11 bytes, the limit is 10"
    assert str(errors.Overloaded("digits-v1", 64, 2.5)) == "the queue of digits-v1 is full (64 rows); retry in 2.5 s"
    assert "ab12" in str(errors.UntrustedArtifact("a.pkl", "ab12", "runs code"))


def test_statuses_say_who_can_act():
    assert http_status(errors.InvalidInput("x", "y")) == 400
    assert http_status(errors.Forbidden("x", "y")) == 403
    assert http_status(errors.ModelNotFound("x", ())) == 404
    assert http_status(errors.TooLarge("x", 2, 1, "rows")) == 413
    assert http_status(errors.Overloaded("x", 1)) == 429
    assert http_status(errors.ModelNotReady("x", "", "z")) == 503
    assert http_status(errors.DeadlineExceeded("x", 1)) == 504
    assert http_status(errors.DeadlineUnreachable("x", 2, 1)) == 429


def test_what_nobody_can_allow_names_no_setting():
    assert str(errors.Forbidden("x from a page in a browser")) == "x from a page in a browser is not allowed here"
