"""The tree of errors, sorted by who can act on them.

    ServeAppError
    ├── ConfigError                the operator, before serving
    │   ├── ManifestError          model.yaml is missing, unreadable or wrong
    │   ├── ArtifactMismatch       a file is not the one the manifest names
    │   ├── UntrustedArtifact      loading the file would run code and nobody allowed that digest
    │   ├── InvalidTable           the gateway's traffic table cannot be used
    │   ├── AcceleratorMissing     a GPU was asked for where there is none
    │   └── CheckFailed            the warm-up or a golden input did not give what the manifest says
    ├── RequestError               the caller, by changing the request
    │   ├── MalformedBody          the body is not what the protocol says
    │   ├── InvalidInput           a tensor, parameter or header has a value the model does not take
    │   ├── TooLarge               a size is over a limit
    │   ├── BodyTimeout            the body did not arrive in time
    │   ├── UnknownCoding          the body is compressed in a way that is not read here
    │   ├── ModelNotFound          no such model
    │   ├── VersionNotFound        no such version tag or label
    │   ├── RouteNotFound          no such URL
    │   ├── Forbidden              what the operator does not allow
    │   ├── Unauthorized           no token, or a wrong one, where one is needed
    │   ├── CommandRefused         a change of releases that cannot be made as things are
    │   └── NotSupported           a known verb that this server does not have
    ├── CapacityError              the caller, by trying again later
    │   ├── Overloaded             a queue is full
    │   ├── TooManyRequests        a gateway replica has as many under way as it may
    │   ├── ModelNotReady          no ready version can answer
    │   ├── ReplicaLost            the replica died with the request, and so did the retry's
    │   ├── RemoteUnavailable      another server, which a graph asks, is away
    │   ├── ControllerAway         the controller of releases does not answer; traffic goes on without it
    │   ├── DeadlineExceeded       the answer would come too late; it was not computed
    │   └── DeadlineUnreachable    what waits ahead takes longer than the request allows; it was not queued
    └── ModelFailure               the model's owner
        ├── ModelRaised            it raised on this request
        └── WrongAnswer            its answer breaks its signature, so nobody's rows can be told apart

The core knows no HTTP or gRPC code: `transport/status.py` has one row a leaf. Errors cross replicas pickled, so every
constructor argument goes to `super().__init__`.
"""

from __future__ import annotations


class ServeAppError(Exception):
    """Base of every error this package raises on purpose; `str()` is one sentence fit for a client."""


class ConfigError(ServeAppError):
    """The operator must change a file or the cluster before this can serve."""


class ManifestError(ConfigError):
    """A model version's directory or its `model.yaml` cannot be used."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class ArtifactMismatch(ConfigError):
    """A file's SHA-256 is not the one in the manifest: it was changed, or only half of it arrived."""

    def __init__(self, path: str, expected_sha256: str, actual_sha256: str) -> None:
        super().__init__(path, expected_sha256, actual_sha256)
        self.path, self.expected_sha256, self.actual_sha256 = path, expected_sha256, actual_sha256

    def __str__(self) -> str:
        return f"{self.path}: sha256 is {self.actual_sha256}, the manifest says {self.expected_sha256}"


class UntrustedArtifact(ConfigError):
    """Loading the artifact would run code from it, and the operator did not list its digest as trusted."""

    def __init__(self, path: str, sha256: str, reason: str) -> None:
        super().__init__(path, sha256, reason)
        self.path, self.sha256, self.reason = path, sha256, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}; to allow this very file add {self.sha256} to the release's trusted_sha256"


class InvalidTable(ConfigError):
    """The gateway's `user_config` breaks its schema; the table in use stays."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the traffic table is not taken into use: {self.reason}"


class AcceleratorMissing(ConfigError):
    """A release asks for a GPU and the machine or cluster has none."""

    def __init__(self, subject: str) -> None:
        super().__init__(subject)
        self.subject = subject

    def __str__(self) -> str:
        return f"{self.subject} asks for accelerator: gpu and there is none; use auto or cpu, or add a GPU node"


class CheckFailed(ConfigError):
    """A check that a version must pass before it takes traffic did not pass."""

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(subject, reason)
        self.subject, self.reason = subject, reason

    def __str__(self) -> str:
        return f"{self.subject}: {self.reason}"


class RequestError(ServeAppError):
    """The caller must change the request; repeating it cannot help."""


class MalformedBody(RequestError):
    """The body does not follow the protocol."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class InvalidInput(RequestError):
    """A named part of the request has a value that the model or the server does not take."""

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(subject, reason)
        self.subject, self.reason = subject, reason

    def __str__(self) -> str:
        return f"{self.subject} {self.reason}"


class TooLarge(RequestError):
    """A size is over a limit; refused before any work was done on it."""

    def __init__(self, subject: str, actual: int, limit: int, unit: str) -> None:
        super().__init__(subject, actual, limit, unit)
        self.subject, self.actual, self.limit, self.unit = subject, actual, limit, unit

    def __str__(self) -> str:
        return f"{self.subject} has {self.actual} {self.unit}, the limit is {self.limit}"


class BodyTimeout(RequestError):
    """The body did not arrive in time."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(limit_s)
        self.limit_s = limit_s

    def __str__(self) -> str:
        return f"the body did not arrive within {self.limit_s:g} s"


class UnknownCoding(RequestError):
    """The body is compressed in a way that is not read here."""

    def __init__(self, coding: str, known: tuple[str, ...]) -> None:
        super().__init__(coding, known)
        self.coding, self.known = coding, known

    def __str__(self) -> str:
        return f"content-encoding {self.coding[:40]!r} is not read here; send one of {', '.join(self.known)}, or none"


class ModelNotFound(RequestError):
    """No model of that name is served here."""

    def __init__(self, model: str, known: tuple[str, ...]) -> None:
        super().__init__(model, known)
        self.model, self.known = model, known

    def __str__(self) -> str:
        return f"model {self.model[:128]!r} is not served here; served are: {', '.join(self.known) or 'none'}"


class VersionNotFound(RequestError):
    """The model has no version tag or label of that name."""

    def __init__(self, model: str, version: str, known: tuple[str, ...]) -> None:
        super().__init__(model, version, known)
        self.model, self.version, self.known = model, version, known

    def __str__(self) -> str:
        known = ", ".join(self.known)
        return f"model {self.model!r} has no version or label {self.version[:128]!r}; it has: {known}"


class RouteNotFound(RequestError):
    """No such URL."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"there is nothing at {self.path[:200]!r}; GET /v2 describes this server"


class Forbidden(RequestError):
    """What the request asks for is there, and the operator does not allow it; with no setting, nobody can."""

    def __init__(self, subject: str, setting: str = "") -> None:
        super().__init__(subject, setting)
        self.subject, self.setting = subject, setting

    def __str__(self) -> str:
        allowing = f"; the operator allows it with {self.setting}" if self.setting else ""
        return f"{self.subject} is not allowed here{allowing}"


class Unauthorized(RequestError):
    """The request changes what is served and bears no token, or a wrong one."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class CommandRefused(RequestError):
    """A change of releases that cannot be made as things are now."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class NotSupported(RequestError):
    """A known verb that this server does not have."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class CapacityError(ServeAppError):
    """The caller may try again after `retry_after_s` seconds."""

    retry_after_s: float = 1.0


class Overloaded(CapacityError):
    """A queue is full; the caller may retry after `retry_after_s` seconds."""

    def __init__(self, queue: str, limit_rows: int, retry_after_s: float = 1.0) -> None:
        super().__init__(queue, limit_rows, retry_after_s)
        self.queue, self.limit_rows, self.retry_after_s = queue, limit_rows, retry_after_s

    def __str__(self) -> str:
        return f"the queue of {self.queue} is full ({self.limit_rows} rows); retry in {self.retry_after_s:g} s"


class TooManyRequests(CapacityError):
    """A gateway replica has as many requests under way as it may; the caller may retry after a while."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"this gateway replica has {self.limit} requests, as many as its max_ongoing_requests and "
            f"max_queued_requests allow; retry in {self.retry_after_s:g} s"
        )


class ModelNotReady(CapacityError):
    """No ready version can answer; `reason` says what the operator would see."""

    def __init__(self, model: str, version: str, reason: str) -> None:
        super().__init__(model, version, reason)
        self.model, self.version, self.reason = model, version, reason

    def __str__(self) -> str:
        name = f"{self.model} {self.version}".strip()
        return f"{name} is not ready: {self.reason}"


class ReplicaLost(CapacityError):
    """The replica died while it had the request and the one retry did not succeed either.

    Attributes:
        was_sent: Whether the replica may have begun with the request; else it only waited for one, and harmed nobody.
        may_repeat: Whether the model may execute a request again; if not, it was not retried.
    """

    def __init__(self, release: str, was_sent: bool = True, may_repeat: bool = True) -> None:
        super().__init__(release, was_sent, may_repeat)
        self.release, self.was_sent, self.may_repeat = release, was_sent, may_repeat

    def __str__(self) -> str:
        if not self.may_repeat:
            return (
                f"a replica of {self.release} died while it worked on this request, which was not tried again: "
                "the model's manifest says idempotent: false"
            )
        return f"a replica of {self.release} died while it worked on this request; retry"


class RemoteUnavailable(CapacityError):
    """A server that a graph's node asks could not be reached, has not that model, or has no room."""

    def __init__(self, node: str, url: str, reason: str) -> None:
        super().__init__(node, url, reason)
        self.node, self.url, self.reason = node, url, reason

    def __str__(self) -> str:
        return f"{self.node} cannot be answered by {self.url}: {self.reason}"


class ControllerAway(CapacityError):
    """The controller of releases, or its database, cannot be asked; traffic goes on with the last table."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the controller of releases is away: {self.reason}; traffic goes on with the last table"


class DeadlineExceeded(CapacityError):
    """The time the caller or the release allows has passed, so the answer was not computed or not waited for.

    Attributes:
        is_limit: Whether it was the limit of a graph's node, whatever the request allows.
    """

    def __init__(self, release: str, timeout_s: float, is_limit: bool = False) -> None:
        super().__init__(release, timeout_s, is_limit)
        self.release, self.timeout_s, self.is_limit = release, timeout_s, is_limit

    def __str__(self) -> str:
        return f"{self.release} could not answer within {self.timeout_s:g} s"


class DeadlineUnreachable(CapacityError):
    """What waits ahead of the request takes longer than it allows, so it was not queued; later there may be less."""

    def __init__(self, release: str, forecast_s: float, timeout_s: float) -> None:
        super().__init__(release, forecast_s, timeout_s)
        self.release, self.forecast_s, self.timeout_s = release, forecast_s, timeout_s
        self.retry_after_s = forecast_s
        self._sentence = (  # once: it is told and logged, by a server that has no time
            f"{release} has work ahead for about {1000 * forecast_s:.0f} ms, the request allows "
            f"{1000 * timeout_s:.0f} ms; retry in {max(1, round(forecast_s))} s"
        )

    def __str__(self) -> str:
        return self._sentence


class ModelFailure(ServeAppError):
    """The model did not give a right answer; what it raised is in the log under the request id."""

    def __init__(self, release: str, reason: str) -> None:
        super().__init__(release, reason)
        self.release, self.reason = release, reason

    def __str__(self) -> str:
        return f"{self.release} failed: {self.reason}"


class ModelRaised(ModelFailure):
    """The model raised on this request, alone or in a batch that could not be taken apart."""


class WrongAnswer(ModelFailure):
    """The model's answer has other rows, shapes, datatypes or outputs than its signature: an error for the batch."""
