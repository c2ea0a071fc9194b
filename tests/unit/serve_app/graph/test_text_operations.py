"""Tokens of a small vocabulary, written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from serve_app.config.data_operations import Tokenise
from serve_app.datatypes import Datatype
from serve_app.errors import ConfigError
from serve_app.graph.links import UnfitRow
from serve_app.graph.text_operations import tokenise
from serve_app.types import TensorSpec

TEXT = TensorSpec("text", Datatype.BYTES, (-1,))
UNKNOWN = "[UNK]"
VOCABULARY = {"[PAD]": 9, "[CLS]": 1, "[SEP]": 2, UNKNOWN: 3, "red": 4, "green": 5, "blue": 6}


@pytest.fixture
def path(tmp_path):
    """Writes a tokenizer.json of those words, with or without [CLS] and [SEP] around a text."""

    def write(special=True, padding=None):
        tokenizer = Tokenizer(models.WordLevel(VOCABULARY, UNKNOWN))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        if special:
            tokenizer.post_processor = processors.TemplateProcessing(
                single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
            )
        if padding:
            tokenizer.enable_padding(**padding)
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        return str(tmp_path / "tokenizer.json")

    return write


def tokens(tokenizer, *texts, max_length=8):
    link = tokenise(Tokenise(op="tokenise", tokenizer=tokenizer, max_length=max_length), TEXT)
    arrays = link.load("tokens")([np.array(texts, object)])
    assert [array.dtype for array in arrays] == [np.int64] * 3
    return {spec.name: array.tolist() for spec, array in zip(link.outputs, arrays, strict=True)}


def test_texts_are_padded_to_the_longest_of_the_batch(path):
    assert tokens(path(), b"red blue", b"green") == {
        "input_ids": [[1, 4, 6, 2], [1, 5, 2, 9]],
        "attention_mask": [[1, 1, 1, 1], [1, 1, 1, 0]],
        "token_type_ids": [[0, 0, 0, 0], [0, 0, 0, 0]],
    }


def test_a_longer_text_is_cut_and_keeps_its_special_tokens(path):
    assert tokens(path(), b"red green blue red", max_length=4)["input_ids"] == [[1, 4, 5, 2]]


def test_the_files_own_padding_counts_but_for_its_length(path):
    declared = {"direction": "left", "pad_id": 7, "pad_token": "[PAD]", "length": 20}
    assert tokens(path(padding=declared), b"red blue", b"green")["input_ids"] == [[1, 4, 6, 2], [7, 1, 5, 2]]


def test_a_batch_without_any_token_is_one_of_padding(path):
    given = tokens(path(special=False), b"", b"")
    assert (given["attention_mask"], np.shape(given["input_ids"])) == ([[0], [0]], (2, 1))


def test_what_is_not_utf8_is_refused_with_its_row(path):
    with pytest.raises(UnfitRow, match="is no text in UTF-8: byte 1 is 0xff") as unfit:
        tokens(path(), b"red", b"r\xff")
    assert unfit.value.row == 1


def test_planning_finds_a_missing_file_and_what_is_no_text_a_row(path, tmp_path):
    operation = Tokenise(op="tokenise", tokenizer=str(tmp_path / "none.json"), max_length=8)
    with pytest.raises(ValueError, match=r"tokenise: there is no file '.*none.json'"):
        tokenise(operation, TEXT)
    operation = Tokenise(op="tokenise", tokenizer=path(), max_length=8)
    with pytest.raises(ValueError, match=r"tokenise takes a text a row, BYTES \[-1\], not BYTES \[-1, 1\]"):
        tokenise(operation, TensorSpec("text", Datatype.BYTES, (-1, 1)))


def test_loading_finds_what_planning_does_not_read(path, tmp_path):
    with pytest.raises(ConfigError, match=r"node 'tokens': max_length 2 leaves no room .* adds 2 special tokens"):
        tokens(path(), b"red", max_length=2)
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"node 'tokens': .*other.json is no tokenizer.json"):
        tokens(str(tmp_path / "other.json"), b"red")
