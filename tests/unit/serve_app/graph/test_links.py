"""What chains are made of."""

from __future__ import annotations

import pytest

from serve_app.datatypes import Datatype
from serve_app.errors import ConfigError
from serve_app.graph.links import library, ready
from serve_app.types import TensorSpec


def test_a_library_that_is_not_installed_is_named_with_the_extra_that_brings_it():
    with pytest.raises(ConfigError, match=r"node 'photo' needs nobody, .*: pip install 'serve-app\[image\]'"):
        library("nobody.has_this", "image", "photo")


def test_what_is_ready_is_loaded_as_it_is():
    spec = TensorSpec("y", Datatype.FP32, (-1,))
    link = ready(lambda arrays: arrays, spec)
    assert (link.outputs, link.load("n")([1]), link.sample) == ((spec,), [1], b"")
