"""One row for each error: its HTTP and gRPC status. The core above this knows neither."""

from __future__ import annotations

from http import HTTPStatus

from serve_app.errors import (
    AcceleratorMissing,
    ArtifactMismatch,
    BodyTimeout,
    CheckFailed,
    CommandRefused,
    ControllerAway,
    DeadlineExceeded,
    DeadlineUnreachable,
    Forbidden,
    InvalidInput,
    InvalidTable,
    MalformedBody,
    ManifestError,
    ModelNotFound,
    ModelNotReady,
    ModelRaised,
    NotSupported,
    Overloaded,
    RemoteUnavailable,
    ReplicaLost,
    RouteNotFound,
    ServeAppError,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    UnknownCoding,
    UntrustedArtifact,
    VersionNotFound,
    WrongAnswer,
)

STATUS: dict[type[ServeAppError], tuple[HTTPStatus, str]] = {
    ManifestError: (HTTPStatus.INTERNAL_SERVER_ERROR, "FAILED_PRECONDITION"),
    ArtifactMismatch: (HTTPStatus.INTERNAL_SERVER_ERROR, "FAILED_PRECONDITION"),
    UntrustedArtifact: (HTTPStatus.INTERNAL_SERVER_ERROR, "FAILED_PRECONDITION"),
    InvalidTable: (HTTPStatus.INTERNAL_SERVER_ERROR, "FAILED_PRECONDITION"),
    AcceleratorMissing: (HTTPStatus.INTERNAL_SERVER_ERROR, "FAILED_PRECONDITION"),
    CheckFailed: (HTTPStatus.INTERNAL_SERVER_ERROR, "FAILED_PRECONDITION"),
    MalformedBody: (HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT"),
    InvalidInput: (HTTPStatus.BAD_REQUEST, "INVALID_ARGUMENT"),
    TooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "RESOURCE_EXHAUSTED"),
    BodyTimeout: (HTTPStatus.REQUEST_TIMEOUT, "RESOURCE_EXHAUSTED"),
    UnknownCoding: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "INVALID_ARGUMENT"),
    ModelNotFound: (HTTPStatus.NOT_FOUND, "NOT_FOUND"),
    VersionNotFound: (HTTPStatus.NOT_FOUND, "NOT_FOUND"),
    RouteNotFound: (HTTPStatus.NOT_FOUND, "UNIMPLEMENTED"),
    Forbidden: (HTTPStatus.FORBIDDEN, "PERMISSION_DENIED"),
    Unauthorized: (HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED"),
    CommandRefused: (HTTPStatus.CONFLICT, "FAILED_PRECONDITION"),
    NotSupported: (HTTPStatus.NOT_IMPLEMENTED, "UNIMPLEMENTED"),
    TooManyRequests: (HTTPStatus.TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
    Overloaded: (HTTPStatus.TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
    ModelNotReady: (HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE"),
    ReplicaLost: (HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE"),
    RemoteUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE"),
    ControllerAway: (HTTPStatus.SERVICE_UNAVAILABLE, "UNAVAILABLE"),
    DeadlineExceeded: (HTTPStatus.GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"),
    DeadlineUnreachable: (HTTPStatus.TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
    ModelRaised: (HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL"),
    WrongAnswer: (HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL"),
}
"""By leaf of the tree of errors; the gRPC code by its name, as `grpc.StatusCode` spells it."""


def http_status(error: ServeAppError) -> HTTPStatus:
    """The HTTP status of an error; one that the tree does not have takes that of its nearest base, else 500."""
    return _row(error)[0]


def grpc_code(error: ServeAppError) -> str:
    """The name of an error's gRPC code; one that the tree does not have takes that of its nearest base."""
    return _row(error)[1]


def _row(error: ServeAppError) -> tuple[HTTPStatus, str]:
    own = STATUS.get(type(error))
    if own is not None:
        return own
    unknown = (HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL")
    return next((STATUS[base] for base in type(error).__mro__ if base in STATUS), unknown)
