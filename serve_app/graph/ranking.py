"""The largest scores of each row, best first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from serve_app.config.operations import TopK
from serve_app.datatypes import Datatype
from serve_app.graph.fitting import said
from serve_app.graph.links import Link, ready
from serve_app.graph.operations import need_no_nan
from serve_app.types import Array, TensorSpec


def top_k(operation: TopK, spec: TensorSpec) -> Link:
    """The k largest, where they are, and what they are called."""
    k, classes = operation.k, spec.shape[-1]
    if spec.datatype is Datatype.BYTES or len(spec.shape) != 2:
        raise ValueError(f"top_k takes a score for each class, [-1, C], not {said(spec)}")
    need_no_nan("top_k", spec)
    if classes == -1 or k > classes:
        raise ValueError(f"top_k: k {k} is over the {'unknown number of' if classes == -1 else classes} classes")
    if spec.labels and len(spec.labels) != classes:
        raise ValueError(f"top_k: there are {len(spec.labels)} labels for {classes} classes")
    labels = np.array([label.encode() for label in spec.labels], object)
    outputs = (
        TensorSpec("indices", Datatype.INT64, (-1, k)),
        replace(spec, name="scores", shape=(-1, k), labels=()),
        *((TensorSpec("labels", Datatype.BYTES, (-1, k)),) if spec.labels else ()),
    )

    def largest(x: Array) -> tuple[Array, ...]:
        """A stable order of the mirrored row, read backwards: the first of equals comes first."""
        indices = (classes - 1 - np.argsort(x[:, ::-1], axis=1, kind="stable")[:, : -k - 1 : -1]).astype(np.int64)
        scores = np.take_along_axis(x, indices, axis=1)
        return (indices, scores, labels[indices]) if spec.labels else (indices, scores)

    return ready(lambda arrays: largest(arrays[0]), *outputs)
