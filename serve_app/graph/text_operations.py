"""Texts to tokens, by Hugging Face's tokenizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from serve_app.config.data_operations import Tokenise
from serve_app.datatypes import Datatype
from serve_app.errors import ConfigError
from serve_app.graph.links import Link, UnfitRow, Work, library
from serve_app.types import Array, TensorSpec

OUTPUTS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
"""By the names that models have for them: what an encoding of the library calls them."""

_PAD_TOKENS = ("[PAD]", "<pad>", "<|endoftext|>")


def tokenise(operation: Tokenise, spec: TensorSpec) -> Link:
    """Texts to tokens."""
    if spec.datatype is not Datatype.BYTES or len(spec.shape) != 1:
        raise ValueError(f"tokenise takes a text a row, BYTES [-1], not {spec.datatype} {list(spec.shape)}")
    path = Path(operation.tokenizer)
    if not _is_file(path):
        raise ValueError(f"tokenise: there is no file {operation.tokenizer!r}")
    given = tuple(TensorSpec(name, Datatype.INT64, (-1, -1)) for name in OUTPUTS)
    return Link(given, lambda node: _tokenising(operation, node))


def _is_file(path: Path) -> bool:
    try:
        return path.expanduser().is_file()
    except (OSError, RuntimeError):  # a name that is too long, a user whose home is not known
        return False


def _tokenising(operation: Tokenise, node: str) -> Work:
    tokenizer = _tokenizer(operation, library("tokenizers", "text", node), node)

    def tokens(arrays: Any) -> tuple[Array, ...]:  # noqa: ANN401 typed as Work
        """As long as the longest, one at least: what a text of no tokens is padded to."""
        encodings = tokenizer.encode_batch_fast([_text(row, element) for row, element in enumerate(arrays[0])])
        found = [np.array([getattr(one, attribute) for one in encodings], np.int64) for attribute in OUTPUTS.values()]
        return tuple(array if array.shape[1] else np.zeros((len(array), 1), np.int64) for array in found)

    return tokens


def _text(row: int, element: bytes) -> str:
    try:
        return element.decode()
    except UnicodeDecodeError as error:
        raise UnfitRow(row, f"is no text in UTF-8: byte {error.start} is 0x{element[error.start]:02x}") from None


def _tokenizer(operation: Tokenise, tokenizers: Any, node: str) -> Any:  # noqa: ANN401 imported only here
    """The file's tokenizer, cutting at `max_length` and padding to the batch's longest.

    Raises:
        ConfigError: The file is none, or its special tokens leave no room for a text.
    """
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(Path(operation.tokenizer).expanduser()))
    except Exception as error:  # the library's own errors are bare Exceptions
        raise ConfigError(f"node {node!r}: {operation.tokenizer} is no tokenizer.json: {error}") from error
    special = tokenizer.num_special_tokens_to_add(is_pair=False)
    if operation.max_length <= special:
        raise ConfigError(
            f"node {node!r}: max_length {operation.max_length} leaves no room for a text: "
            f"{operation.tokenizer} adds {special} special tokens"
        )
    tokenizer.enable_truncation(operation.max_length)
    declared = tokenizer.padding or _usual_padding(tokenizer)
    kept = {key: declared[key] for key in ("direction", "pad_id", "pad_type_id", "pad_token")}
    tokenizer.enable_padding(**kept)
    return tokenizer


def _usual_padding(tokenizer: Any) -> dict[str, Any]:  # noqa: ANN401 as above
    """Of a file that says nothing about it; the mask says what is padding, so any token would do."""
    token = next((token for token in _PAD_TOKENS if tokenizer.token_to_id(token) is not None), "")
    pad_id = tokenizer.token_to_id(token) or 0
    return {"direction": "right", "pad_id": pad_id, "pad_type_id": 0, "pad_token": token}
