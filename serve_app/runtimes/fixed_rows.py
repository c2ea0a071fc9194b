"""Graphs whose batch axis has a fixed length: every execution has exactly so many rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from serve_app.config.release import MAX_ROWS, BatchingConfig
from serve_app.errors import ConfigError, ManifestError


def fixed_rows(lengths: Mapping[str, int], file: Path) -> int | None:
    """The rows that every execution has; None where all batch axes are free.

    Args:
        lengths: Length of axis 0 by tensor name, of the tensors for which the graph fixes it.
        file: Named in the error.

    Raises:
        ManifestError: Two tensors have different lengths, or one has none that rows can have.
    """
    for name, rows in lengths.items():
        if not 1 <= rows <= MAX_ROWS:
            raise ManifestError(str(file), f"axis 0 of {name!r} is fixed to {rows}; rows are 1 to {MAX_ROWS}")
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name!r} to {rows}" for name, rows in lengths.items())
        raise ManifestError(str(file), f"axis 0 is fixed to different lengths, of {told}: it is no batch axis")
    return next(iter(lengths.values()), None)


def batching_of(rows: int | None) -> BatchingConfig:
    """The batching that a graph with `rows` fixed needs; the default for None."""
    if rows is None:
        return BatchingConfig()
    return BatchingConfig(max_rows=rows) if rows == 1 else BatchingConfig(max_rows=rows, allowed_rows=(rows,))


def check_fixed_rows(rows: int | None, batching: BatchingConfig, release: str) -> None:
    """Check that every execution will have the rows that a graph has fixed.

    Args:
        rows: As `fixed_rows` gives them.
        batching: How rows are executed together.
        release: Named in the error.

    Raises:
        ConfigError: Executions could have other rows.
    """
    if rows is None or batching.allowed_rows == (rows,) or (rows == 1 and batching.max_rows == 1):
        return
    wanted = "max_rows: 1" if rows == 1 else f"max_rows: {rows}, allowed_rows: [{rows}]"
    given = f"allowed_rows is {list(batching.allowed_rows)}" if batching.allowed_rows else "allowed_rows is empty"
    raise ConfigError(
        f"{release}: the model's axis 0 is fixed, every execution has {rows} row(s), but batching.max_rows is "
        f"{batching.max_rows} and {given}; set batching: {{{wanted}}}, or export the model with a free axis 0"
    )
