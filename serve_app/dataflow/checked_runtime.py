"""One copy of a release's model: executes batches and answers for the form of what comes back."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import closing

from serve_app.dataflow.checks import check_answer
from serve_app.errors import CapacityError, ModelFailure, ModelRaised, RequestError, WrongAnswer
from serve_app.runtimes.base import Runtime, StreamingRuntime
from serve_app.runtimes.raised import short_reason
from serve_app.types import Tensors, TensorSpec, rows_of

logger = logging.getLogger(__name__)


class CheckedRuntime:
    """A runtime behind the checks of its answers.

    Args:
        runtime: The model in memory.
        outputs: The signature.
        release: Name for errors, `{model}-{version}`.
    """

    def __init__(self, runtime: Runtime, outputs: tuple[TensorSpec, ...], release: str) -> None:
        self._runtime, self._outputs, self._release = runtime, outputs, release
        self._form = tuple((spec.name, spec.datatype.dtype, spec.shape[1:]) for spec in outputs)

    def predict(self, inputs: Tensors) -> Tensors:
        """Execute one batch and check the answer. Blocks: call it in a worker thread, one call at a time.

        Args:
            inputs: Every input of the signature, all with the same rows, at least 1.

        Returns:
            Every output of the signature, in its order, with its datatype and as many rows as the inputs.

        Raises:
            ModelRaised: The model raised.
            WrongAnswer: Its answer breaks the signature.
            RequestError: The runtime found an element that it cannot take, such as text that is not UTF-8.
            CapacityError, ModelFailure: A graph's node was away, or failed.
        """
        try:
            answer = self._runtime.predict(inputs)
        except (RequestError, CapacityError, ModelFailure):
            raise
        except Exception as error:  # foreign code raises anything; its trace is for the log, never for the client
            logger.exception("%s failed on a batch of %d rows", self._release, rows_of(inputs))
            raise ModelRaised(self._release, short_reason(error)) from error
        return self._checked(answer, rows_of(inputs))

    def _checked(self, answer: Tensors, rows: int) -> Tensors:
        checked = {}
        for name, dtype, axes in self._form:  # the usual case, fast; all others are told by `check_answer`
            array = answer.get(name)
            if array is None or array.dtype != dtype or array.shape != (rows, *axes):
                return check_answer(answer, self._outputs, rows, self._release)
            checked[name] = array
        return checked


class CheckedStreamingRuntime(CheckedRuntime):
    """One of a decoupled model: `predict` gives a request's first response."""

    def __init__(self, runtime: StreamingRuntime, outputs: tuple[TensorSpec, ...], release: str) -> None:
        super().__init__(runtime, outputs, release)
        self._streaming = runtime

    def stream(self, inputs: Tensors) -> Generator[Tensors, None, None]:
        """Execute one request, checking each response. Blocks between them: iterate in the thread of `predict`.

        Args:
            inputs: Every input of the signature, all with the same rows, at least 1.

        Returns:
            Responses, each as an answer of `predict`.

        Raises:
            ModelRaised, WrongAnswer, RequestError: As `predict`.
        """
        rows = rows_of(inputs)
        try:
            with closing(self._streaming.stream(inputs)) as responses:
                for response in responses:
                    yield self._checked(response, rows)
        except (RequestError, WrongAnswer):
            raise
        except Exception as error:  # as in `predict`
            logger.exception("%s failed on a stream of %d rows", self._release, rows)
            raise ModelRaised(self._release, short_reason(error)) from error
