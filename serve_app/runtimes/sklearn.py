"""scikit-learn estimators saved by skops, joblib or pickle.

skops files are data: nothing but known types is built from them. joblib and pickle files are programs: they are read
only where the operator lists their SHA-256, and what is unpickled are the very bytes that were hashed.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, cast

import joblib
import numpy as np
from sklearn.base import BaseEstimator
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # ships without types

from serve_app.config.manifest import Format
from serve_app.config.tensors import TensorConfig
from serve_app.datatypes import Datatype, datatype_of
from serve_app.errors import ManifestError, UntrustedArtifact
from serve_app.runtimes.answer import bytes_of
from serve_app.runtimes.base import RuntimeSource
from serve_app.runtimes.signature import Signature, tensor
from serve_app.runtimes.skops_io import skops_io
from serve_app.types import Array, Tensors

_METHODS = ("predict_proba", "predict")
_CLASSIFIER_NAMES = {"predict_proba": "probabilities", "predict": "label"}

Method = Callable[[Array], Any]


class SklearnRuntime:
    """One estimator; each output comes from the method that its `source` names, `predict` by default.

    Attributes:
        device: Always `cpu`.
    """

    device = "cpu"
    fixed_rows = None

    def __init__(self, source: RuntimeSource) -> None:
        """Load the verified artifact.

        Raises:
            UntrustedArtifact: The file would run code when loaded and its digest is not trusted.
            ManifestError: The file cannot be read, or the signature does not fit the estimator.
        """
        manifest, path = source.manifest, str(source.artifact)
        if len(manifest.inputs) != 1 or len(manifest.inputs[0].shape) != 2:
            raise ManifestError(path, "a scikit-learn model takes exactly one input of shape [-1, features]")
        estimator = load_estimator(source.artifact, manifest.format, source.trusted_sha256)
        features, declared = getattr(estimator, "n_features_in_", None), manifest.inputs[0].shape[1]
        if features is not None and declared not in (-1, features):
            raise ManifestError(path, f"the estimator takes {features} features, the manifest says {declared}")
        self._input = manifest.inputs[0].name
        self._outputs = manifest.outputs
        self._methods = {config.name: _method(estimator, config, path) for config in manifest.outputs}
        self._threads = source.threads
        self._pools = ThreadpoolController()
        self._limited = threading.local()
        _set_jobs(estimator, source.threads)

    def predict(self, inputs: Tensors) -> Tensors:
        """Execute one batch; see `Runtime.predict`. Widths of numbers are brought to the signature's."""
        rows = inputs[self._input]
        self._limit_threads()
        return {config.name: _cast(self._methods[config.name](rows), config) for config in self._outputs}

    def _limit_threads(self) -> None:
        """Limit the calling thread's OpenMP threads, and the whole process' BLAS threads, once for good.

        To limit and give back on each call costs 20 us, and with two instances one would give back the other's limit.
        """
        if not getattr(self._limited, "is_done", False):
            self._pools.limit(limits=self._threads)
            self._limited.is_done = True


def load_estimator(file: Path, fmt: Format, trusted: Collection[str]) -> object:
    """The estimator in `file`.

    Args:
        file: Written by `skops.io.dump`, `joblib.dump` or `pickle.dump`.
        fmt: Which of them.
        trusted: Digests of files that may run code when loaded.

    Raises:
        UntrustedArtifact: The file would run code and its SHA-256 is not in `trusted`.
        ManifestError: The file cannot be read as what it should be.
    """
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if fmt is not Format.SKOPS and digest not in trusted:
        raise UntrustedArtifact(str(file), digest, f"unpickling a {fmt} file runs the code in it")
    try:
        if fmt is Format.SKOPS:
            return _load_skops(file, data, digest, digest in trusted)
        if fmt is Format.JOBLIB:
            return cast(object, joblib.load(io.BytesIO(data)))
        return cast(object, pickle.loads(data))  # noqa: S301 - the operator trusts this digest
    except UntrustedArtifact:
        raise
    except Exception as error:  # damaged files end in whatever the formats' parsers raise
        reason = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
        raise ManifestError(str(file), f"cannot be loaded as {fmt}: {reason}") from error


def infer(file: Path, fmt: Format, trusted: Collection[str]) -> Signature:
    """The signature of a fitted estimator: `features` FP64 in, `probabilities` and `label`, or `prediction`, out.

    Outputs' datatypes and shapes are those of an answer to one row of zeros.

    Raises:
        UntrustedArtifact: As `load_estimator`.
        ManifestError: As `load_estimator`, or the estimator is not fitted or cannot predict.
    """
    estimator = load_estimator(file, fmt, trusted)
    features = getattr(estimator, "n_features_in_", None)
    methods = [name for name in _METHODS if callable(getattr(estimator, name, None))]
    if not isinstance(features, int) or "predict" not in methods:
        raise ManifestError(str(file), f"{type(estimator).__name__} is no fitted estimator with predict")
    classes = getattr(estimator, "classes_", None)
    answers = {name: np.asarray(getattr(estimator, name)(np.zeros((1, features)))) for name in methods}
    inputs = (TensorConfig(name="features", datatype=Datatype.FP64, shape=(-1, features)),)
    return Signature(inputs, tuple(_output(name, answer, classes) for name, answer in answers.items()))


def _load_skops(file: Path, data: bytes, digest: str, is_trusted: bool) -> object:
    skops = skops_io()
    untrusted = skops.get_untrusted_types(data=data)
    if untrusted and not is_trusted:
        raise UntrustedArtifact(str(file), digest, f"has types that skops does not know: {', '.join(untrusted)}")
    return cast(object, skops.loads(data, trusted=untrusted))


def _method(estimator: object, config: TensorConfig, path: str) -> Method:
    name = config.source or "predict"
    method = None if name.startswith("_") else getattr(estimator, name, None)
    if not callable(method):
        raise ManifestError(path, f"output {config.name!r}: {type(estimator).__name__} has no method {name!r}")
    return cast(Method, method)


def _set_jobs(estimator: object, threads: int) -> None:
    """Have every part that was trained with an `n_jobs` of its own, such as -1 for all CPUs, use `threads`."""
    if not isinstance(estimator, BaseEstimator):
        return
    jobs = [key for key, value in estimator.get_params().items() if _is_jobs(key) and value is not None]
    estimator.set_params(**dict.fromkeys(jobs, threads))


def _is_jobs(parameter: str) -> bool:
    return parameter == "n_jobs" or parameter.endswith("__n_jobs")


def _cast(answer: object, config: TensorConfig) -> Array:
    """The method's answer in the signature's datatype where no meaning is lost, else as it is (the caller refuses).

    Floats become narrower or wider floats (scikit-learn computes in float64), integers become wider ones.
    """
    array = np.asarray(answer)
    if config.datatype is Datatype.BYTES:
        return bytes_of(array) if array.dtype.kind in "OUS" else array
    dtype = config.datatype.dtype
    if np.can_cast(array.dtype, dtype, "safe") or (array.dtype.kind == "f" and config.datatype.is_float):
        return np.ascontiguousarray(array, dtype=dtype)
    return array


def _output(method: str, answer: Array, classes: Any) -> TensorConfig:  # noqa: ANN401 - sklearn ships without types
    datatype = Datatype.BYTES if answer.dtype.kind in "OUS" else datatype_of(answer)
    if classes is None or isinstance(classes, list):  # a regressor or clusterer; a list is several targets at once
        name = _CLASSIFIER_NAMES[method] if method != "predict" else "prediction"
        return tensor(name, datatype, answer.shape, method)
    config = tensor(_CLASSIFIER_NAMES[method], datatype, answer.shape, method)
    return config.model_copy(update={"labels": tuple(str(label) for label in classes)})
