"""What the requests of one block have together: their rows, one behind the other, and the outputs they want."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from serve_app.batching.job import join
from serve_app.types import Array, InferenceRequest, Tensors, nbytes_of

LATE_BYTES = 2**15  # below it joining at once is cheaper than to put it off


class Joined(Mapping[str, Array]):
    """Rows of several parts, joined once somebody looks at them: who copies them anyway copies the parts instead.

    Attributes:
        parts: At least one; they agree in names, dtypes and shapes beyond axis 0.
    """

    def __init__(self, parts: Sequence[Tensors]) -> None:
        self.parts = tuple(parts)

    def __getitem__(self, name: str) -> Array:
        if len(self.parts) > 1:
            self.parts = (join(self.parts),)
        return self.parts[0][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts[0])

    def __len__(self) -> int:
        return len(self.parts[0])

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as the joined rows."""
        return dict, (dict(self),)


def joined(parts: Sequence[Tensors]) -> Tensors:
    """Rows of parts one behind the other; a single part is given back as it is, and long ones are joined late."""
    if len(parts) > 1 and sum(map(nbytes_of, parts)) > LATE_BYTES:
        return Joined(parts)
    return join(parts)


def parts_of(tensors: Tensors) -> Sequence[Tensors]:
    """The parts that are not joined yet, else all as one."""
    return tensors.parts if isinstance(tensors, Joined) else (tensors,)


def outputs_wanted(requests: Sequence[InferenceRequest]) -> tuple[str, ...]:
    """Every output that one of the requests names; empty, which is all, if one names none."""
    if not all(request.outputs for request in requests):
        return ()
    return tuple(dict.fromkeys(name for request in requests for name in request.outputs))
