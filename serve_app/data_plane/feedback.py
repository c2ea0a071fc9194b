"""What answers turn out to have been worth: counted for the version that gave them, wherever it is told.

A client tells it to any gateway replica. One that does not know the request passes it on with its next report, and the
controller tells the others.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from serve_app.errors import InvalidInput
from serve_app.release.counts import ArmCounts
from serve_app.release.messages import MAX_LABEL, MAX_REQUEST_ID, Feedback
from serve_app.types import InferenceResponse, TensorSpec

MOST_ANSWERS, MOST_BYTES = 50_000, 32 * 2**20  # remembered; the oldest are forgotten
MOST_UNKNOWN = 10_000  # kept while the controller cannot be told; the oldest are dropped
MOST_SENT = 1_000  # in one report
LARGEST_VALUE = 1e100  # its square can still be added up
_RECORD_BYTES = 300  # of an answer, beside its texts


@dataclass(slots=True)
class _Answer:
    """An answer of which something may become known.

    Attributes:
        arm: Counters of the version and window that it belongs to.
        texts: What a label must be to be right; empty where answers cannot be compared with one.
    """

    arm: ArmCounts
    texts: tuple[str, ...]
    nbytes: int
    is_judged: bool = False
    is_rewarded: bool = False


class FeedbackLedger:
    """The last answers, and feedback for requests that are not among them.

    Attributes:
        dropped: Items that were given up because the controller could not be told for too long.
    """

    def __init__(self, most_answers: int = MOST_ANSWERS, most_bytes: int = MOST_BYTES) -> None:
        self.dropped = 0
        self._most_answers, self._most_bytes = most_answers, most_bytes
        self._answers = OrderedDict[str, _Answer]()
        self._bytes = 0
        self._unknown: dict[int, Feedback] = {}
        self._number = 0

    def remember(self, request_id: str, arm: ArmCounts, texts: tuple[str, ...]) -> None:
        """Keep an answer; of two with the same id the later one is meant.

        Args:
            request_id: As the client knows it.
            arm: Where feedback for it is counted.
            texts: As of `texts_of`.
        """
        if len(request_id) > MAX_REQUEST_ID:
            return
        self._forget(self._answers.pop(request_id, None))
        answer = _Answer(arm, texts, _RECORD_BYTES + len(request_id) + sum(map(len, texts)))
        self._answers[request_id] = answer
        self._bytes += answer.nbytes
        while len(self._answers) > self._most_answers or self._bytes > self._most_bytes:
            self._forget(self._answers.popitem(last=False)[1])

    def take(self, items: Sequence[Feedback]) -> None:
        """Count what a client tells, each kind once for a request; keep what is not known here for `unknown`.

        Raises:
            InvalidInput: An item has an id, label or value out of bounds; none was counted.
        """
        for item in items:
            _check(item)
        for item in items:
            if not self._count(item):
                self._number += 1
                self._unknown[self._number] = item
        while len(self._unknown) > MOST_UNKNOWN:
            del self._unknown[next(iter(self._unknown))]
            self.dropped += 1

    def take_from_others(self, items: Iterable[Feedback]) -> None:
        """Count what came in at other gateways, where the request is known here."""
        for item in items:
            self._count(item)

    def unknown(self) -> dict[int, Feedback]:
        """The oldest items of requests that are not known here, by a number of their own."""
        return dict(islice(self._unknown.items(), MOST_SENT))

    def passed_on(self, numbers: Iterable[int]) -> None:
        """The controller has got these of `unknown`."""
        for number in numbers:
            self._unknown.pop(number, None)

    def _forget(self, answer: _Answer | None) -> None:
        if answer is not None:
            self._bytes -= answer.nbytes

    def _count(self, item: Feedback) -> bool:
        """Count an item; false if its request is not known."""
        answer = self._answers.get(item.request_id)
        if answer is None:
            return False
        if item.label is not None and answer.texts and not answer.is_judged:
            answer.is_judged = True
            answer.arm.judged += 1
            answer.arm.correct += item.label in answer.texts
        if item.value is not None and not answer.is_rewarded:
            answer.is_rewarded = True
            answer.arm.rewarded += 1
            answer.arm.reward_sum += item.value
            answer.arm.reward_squares += item.value * item.value
        return True


def texts_of(response: InferenceResponse, outputs: Iterable[TensorSpec]) -> tuple[str, ...]:
    """What a true label may be called if the first row of an answer is right.

    An integer, a text or a truth value is its own name; where the output has class labels, that of the integer, or of
    the largest number along the last axis, is another.

    Args:
        response: The answer.
        outputs: The signature of the release that gave it.

    Returns:
        Empty where the client did not ask for the prediction, or where it is no class: a plain number, or several.
    """
    array = response.outputs.get(response.prediction)
    if array is None:
        return ()
    labels = next((spec.labels for spec in outputs if spec.name == response.prediction), ())
    row = array[0].ravel() if array.ndim > 1 else array[:1]
    if array.dtype.kind not in "iubO":
        return _class(int(row.argmax()), labels) if labels and row.size == len(labels) else ()
    if row.size != 1:
        return ()
    value = row[0]
    if isinstance(value, bytes):
        return (value.decode("utf-8", "replace"),) if len(value) <= MAX_LABEL else ()
    names = _class(int(value), labels)
    return names if array.dtype.kind != "b" else (*names, str(bool(value)).lower())


def _class(index: int, labels: Sequence[str]) -> tuple[str, ...]:
    return (str(index), labels[index]) if 0 <= index < len(labels) else (str(index),)


def _check(item: Feedback) -> None:
    if not 0 < len(item.request_id) <= MAX_REQUEST_ID:
        raise InvalidInput("request_id", f"has {len(item.request_id)} characters, must have 1 to {MAX_REQUEST_ID}")
    if item.label is None and item.value is None:
        raise InvalidInput(f"feedback for {item.request_id!r}", "needs a label or a value")
    if item.label is not None and len(item.label) > MAX_LABEL:
        raise InvalidInput("label", f"has {len(item.label)} characters, the limit is {MAX_LABEL}")
    if item.value is not None and not (math.isfinite(item.value) and abs(item.value) <= LARGEST_VALUE):
        raise InvalidInput("value", f"is {item.value}, must be a finite number within +-{LARGEST_VALUE:g}")
