"""What travels: named tensors, a request, a response, and a block of several requests' rows.

A decoded request becomes a `BlockEntry` and some rows of a `Block`; the block crosses to a release replica in one
handle call and comes back as a `BlockReply`, which says for every entry which rows are its own or what went wrong.
Nothing of it is changed in place; but what is made for every request is not frozen, because a frozen dataclass takes
three times as long to make.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from serve_app.datatypes import Datatype
from serve_app.errors import ServeAppError
from serve_app.visits import NodeVisit

Array = npt.NDArray[Any]
"""A decoded tensor: one of the dtypes in `datatypes.Datatype`; axis 0 is the batch axis. BYTES have dtype object."""

Tensors = Mapping[str, Array]
"""Tensors by name, spelled as in the model's metadata. All have the same length along axis 0, at least 1."""

Parameters = Mapping[str, "str | int | float | bool"]
"""V2 request parameters: what a client says about a request beside its tensors."""


DEFAULT_PRIORITY, MAX_PRIORITY = 5, 9
"""Levels of V2's `priority` parameter: 1 goes first, 9 last; 0, and none, is the default, as in Triton."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model's signature.

    Attributes:
        name: Unique among the model's inputs (outputs).
        datatype: The only datatype taken (given).
        shape: Axis 0 is the batch axis and always -1; any other -1 takes every length.
        labels: Names of the classes behind an output's last axis or integer values; empty where it has none.
        allow_nan: Whether an input takes NaN and infinity.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    labels: tuple[str, ...] = ()
    allow_nan: bool = False

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, taking each free axis as 1 and a BYTES element as 64."""
        size = 64 if self.datatype is Datatype.BYTES else self.datatype.dtype.itemsize
        return size * int(np.prod([max(1, axis) for axis in self.shape[1:]], dtype=np.int64))


@dataclass(frozen=True, slots=True)
class ReleaseInfo:
    """What a release says about itself once it is loaded, warm and checked: all that a gateway needs to know.

    Attributes:
        platform: The manifest's format, e.g. `onnx`.
        device: Where it runs, `cpu` or `cuda:0`.
        prediction: The output that `POST /predict` answers with.
        max_rows: Most rows the runtime executes together.
        max_queue_rows: Most rows that may wait, in one gateway and in one replica.
        slo_ms: Time an answer may take unless the request says otherwise; None leaves it to the gateway.
        metrics: What was measured about the model when it was added, e.g. `accuracy`.
        profile: Median milliseconds of one execution by its rows: measured at load, then learned.
        max_batch_bytes: Most bytes of the inputs and outputs executed together.
        allowed_rows: The only sizes executed; empty allows every one up to `max_rows`.
        tuning_fault: Why the last `user_config` was not taken into use; empty if it was.
        decoupled: Whether a request has any number of responses, in Triton's word, and not exactly one.
        nodes: Of a graph: median milliseconds of each node by the rows that it was given, measured at load.
        is_ragged: Whether inputs may have any length along axis 1; the release itself then makes their mask.
        idempotent: Whether a request may be executed again: nobody can tell, except by the time it took.
        instances: Batches that a replica executes at a time.
    """

    model: str
    version: str
    platform: str
    device: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    prediction: str
    max_rows: int
    max_queue_rows: int
    slo_ms: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    profile: Mapping[int, float] = field(default_factory=dict)
    max_batch_bytes: int = 2**30
    allowed_rows: tuple[int, ...] = ()
    tuning_fault: str = ""
    decoupled: bool = False
    nodes: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    is_ragged: bool = False
    idempotent: bool = True
    instances: int = 1

    @property
    def revision(self) -> int:
        """The same number for the same settings, on every replica and after every restart."""
        sizes = (self.max_rows, self.max_queue_rows, self.max_batch_bytes, self.allowed_rows)
        return crc32(repr((self.platform, self.device, self.slo_ms, sizes, self.tuning_fault)).encode())

    @property
    def release(self) -> str:
        """The name of the Serve application, `{model}-{version}`."""
        return release_name(self.model, self.version)


def release_name(model: str, version: str) -> str:
    """The name of the Serve application that runs one version of a model."""
    return f"{model}-{version}"


@dataclass(slots=True)
class InferenceRequest:
    """One client call, decoded.

    Attributes:
        model_name: A served model.
        inputs: Named tensors, 1..n rows.
        model_version: A version tag or label that wins over the traffic split; empty leaves it to the split.
        outputs: Names of the outputs wanted; empty asks for all.
        id: The client's own name for the request, given back unchanged.
        request_id: Identity in logs and traces; never empty once a gateway has the request.
        parameters: V2 request parameters.
        timeout_s: Seconds from now until the answer is of no more use; None takes the release's.
        priority: Level within [1, MAX_PRIORITY]; the lowest number goes first.
        tenant: Whose request it is; those of one tenant do not crowd out others'. For fair queueing only, unproven.
        explain: Whether the answer is to say what was done for it.
        user: What keeps it at one version, as the model's `sticky` reads it; empty: drawn anew, unless a tensor or
            parameter says it.
    """

    model_name: str
    inputs: Tensors
    model_version: str = ""
    outputs: tuple[str, ...] = ()
    id: str = ""
    request_id: str = ""
    parameters: Parameters = field(default_factory=dict)
    timeout_s: float | None = None
    priority: int = DEFAULT_PRIORITY
    tenant: str = ""
    explain: bool = False
    user: str = ""

    @property
    def rows(self) -> int:
        """Rows of the request: the length of its tensors along axis 0."""
        return rows_of(self.inputs)


@dataclass(frozen=True, slots=True)
class Timings:
    """Where one answer's time went, in seconds.

    Attributes:
        queue_s: Waiting for a batch, in the replica.
        batch_s: Merging rows into the batch and giving them back.
        compute_s: The runtime's own time for the whole batch.
        batch_rows: Rows of the (largest) batch that the request was in.
    """

    queue_s: float = 0.0
    batch_s: float = 0.0
    compute_s: float = 0.0
    batch_rows: int = 0

    def then(self, later: Timings) -> Timings:
        """Those of two responses to one request, added up."""
        return Timings(
            self.queue_s + later.queue_s,
            self.batch_s + later.batch_s,
            self.compute_s + later.compute_s,
            max(self.batch_rows, later.batch_rows),
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as a plain call: the default for slotted dataclasses costs 3 us each on the request path."""
        return Timings, (self.queue_s, self.batch_s, self.compute_s, self.batch_rows)


@dataclass(slots=True)
class InferenceResponse:
    """The answer to one request.

    Attributes:
        outputs: The wanted outputs, in the signature's order; as many rows as the request has.
        prediction: The output that stands for the answer where a protocol has room for one.
        id: As in the request.
        queued_s: Seconds the request waited in the gateway's coalescer.
        left_out: As of `EntryResult`.
        visits: What was done for it, if the request asked: by the nodes of a graph, or by the model.
    """

    model_name: str
    model_version: str
    outputs: Tensors
    prediction: str = ""
    id: str = ""
    request_id: str = ""
    timings: Timings = Timings()
    queued_s: float = 0.0
    left_out: Mapping[str, str] = field(default_factory=dict)
    visits: tuple[NodeVisit, ...] = ()


@dataclass(slots=True)
class BlockEntry:
    """One request's share of a block.

    Attributes:
        rows: How many of the block's rows are this request's, in the order of the entries.
        request_id: Identity in logs and traces.
        timeout_s: Seconds left when the block was sent: a remaining time, because clocks of machines differ.
        parameters: V2 request parameters.
        priority: As in the request.
        explain: As in the request.
    """

    rows: int
    request_id: str = ""
    timeout_s: float | None = None
    parameters: Parameters = field(default_factory=dict)
    priority: int = DEFAULT_PRIORITY
    explain: bool = False

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as a plain call, as `Timings` does."""
        return BlockEntry, (self.rows, self.request_id, self.timeout_s, self.parameters, self.priority, self.explain)


@dataclass(slots=True)
class Block:
    """Rows of several requests travelling together; their tensors agree in names, datatypes and shapes beyond axis 0.

    Attributes:
        inputs: The entries' rows one behind the other.
        entries: Who owns which rows; their `rows` sum up to the tensors' length.
        sender: The gateway replica it comes from.
        backlog_rows: Rows that still wait there after it.
        refused: Requests that were refused there, or expired before they could leave, since the block before.
        outputs: Names of those that any of the entries wants; empty for all.
    """

    inputs: Tensors
    entries: tuple[BlockEntry, ...]
    sender: str = ""
    backlog_rows: int = 0
    refused: int = 0
    outputs: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of all entries together."""
        return sum(entry.rows for entry in self.entries)


@dataclass(frozen=True, slots=True)
class EntryResult:
    """How one entry of a block ended: with its rows in the reply's outputs, or with an error and no rows.

    Attributes:
        left_out: Parts of a graph that the answer was made without, `node.member`, and why.
        visits: What the nodes of a graph did for it, if it asked.
    """

    error: ServeAppError | None = None
    timings: Timings = Timings()
    left_out: Mapping[str, str] = field(default_factory=dict)
    visits: tuple[NodeVisit, ...] = ()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as a plain call, as `Timings` does."""
        return EntryResult, (self.error, self.timings, self.left_out, self.visits)


@dataclass(slots=True)
class BlockReply:
    """The answer to a block.

    Attributes:
        outputs: Rows of the entries without an error, in the entries' order; empty if all failed.
        results: One for each entry, in order.
        revision: The executing replica's `ReleaseInfo.revision`; another one than known means that it was tuned.
    """

    outputs: Tensors
    results: tuple[EntryResult, ...]
    revision: int = 0

    def per_entry(self, block: Block) -> Iterator[tuple[Tensors | None, EntryResult]]:
        """Give every entry of `block` its own output rows (views, not copies), or None beside its error."""
        start = 0
        for entry, result in zip(block.entries, self.results, strict=True):
            if result.error is not None:
                yield None, result
                continue
            stop = start + entry.rows
            yield {name: array[start:stop] for name, array in self.outputs.items()}, result
            start = stop


@dataclass(frozen=True, slots=True)
class Duration:
    """How often something was done, and how many seconds that took in all."""

    count: int = 0
    seconds: float = 0.0

    def __add__(self, other: Duration) -> Duration:
        """Both together."""
        return Duration(self.count + other.count, self.seconds + other.seconds)


@dataclass(frozen=True, slots=True)
class SizeStatistics:
    """The executions of batches of one size.

    Attributes:
        merge: Joining and padding the rows.
        compute: The runtime's own time.
    """

    merge: Duration = Duration()
    compute: Duration = Duration()

    def __add__(self, other: SizeStatistics) -> SizeStatistics:
        """Both together."""
        return SizeStatistics(self.merge + other.merge, self.compute + other.compute)


@dataclass(frozen=True, slots=True)
class ReleaseStatistics:
    """What replicas of a release have done since they started.

    Attributes:
        answered: Requests with an answer, from their arrival in the replica to the reply.
        failed: Requests that ended with an error there.
        queue: What those with an answer waited for a batch.
        merge: Time of their batches for joining and padding rows; each counts the whole batch's.
        compute: The runtime's time for their batches; each counts the whole batch's.
        sizes: Executions by the batch's rows, padding not counted.
        last_executed_s: When the last one ended, in seconds since 1970; 0 if there was none.
        replicas: How many are added up.
    """

    answered: Duration = Duration()
    failed: Duration = Duration()
    queue: Duration = Duration()
    merge: Duration = Duration()
    compute: Duration = Duration()
    sizes: Mapping[int, SizeStatistics] = field(default_factory=dict)
    last_executed_s: float = 0.0
    replicas: int = 1

    def __add__(self, other: ReleaseStatistics) -> ReleaseStatistics:
        """Those of the replicas of both."""
        nothing = SizeStatistics()
        return ReleaseStatistics(
            self.answered + other.answered,
            self.failed + other.failed,
            self.queue + other.queue,
            self.merge + other.merge,
            self.compute + other.compute,
            {
                rows: self.sizes.get(rows, nothing) + other.sizes.get(rows, nothing)
                for rows in {*self.sizes, *other.sizes}
            },
            max(self.last_executed_s, other.last_executed_s),
            self.replicas + other.replicas,
        )


def rows_of(tensors: Tensors) -> int:
    """Length of the tensors along axis 0; 0 if there are none, or a scalar, which no signature takes."""
    for array in tensors.values():
        return array.shape[0] if array.ndim else 0
    return 0


def nbytes_of(tensors: Tensors) -> int:
    """Bytes of the tensors' elements; a BYTES element counts with its length."""
    total = 0
    for array in tensors.values():
        total += sum(map(len, array.ravel())) if array.dtype.hasobject else array.nbytes
    return total
