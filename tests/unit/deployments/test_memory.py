"""Buffers that come again get the same pages, in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from deployments import memory

SCRIPT = """
import resource, sys
from deployments.memory import keep_freed_pages

if sys.argv[1] == "kept" and not keep_freed_pages():
    sys.exit("the allocator cannot be told")

def body():
    return [bytes(size) + b"x" for size in (600_000, 600_000, 20_000_000, 64_000_000)]

for _ in range(20):
    body()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    body()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Pages that a hundred bodies, of 0.6, 20 and 64 MB, had to be given."""
    command = [sys.executable, "-c", SCRIPT, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)  # noqa: S603 - ours


def test_the_pages_of_a_body_that_is_gone_are_the_next_ones_where_the_allocator_can_be_told() -> None:
    if platform.libc_ver()[0] == "glibc":
        assert faults("given back") > 1000
        assert faults("kept") < 100
    else:
        assert not memory.keep_freed_pages()


def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert not memory.keep_freed_pages()


START = """
import gc, weakref
from deployments.memory import GATEWAY_GC_THRESHOLD, freeze_heap

class Node:
    def __init__(self):
        self.itself = self

gc.disable()
garbage, alive, young = weakref.ref(Node()), Node(), []
freeze_heap(GATEWAY_GC_THRESHOLD)
assert garbage() is None
assert gc.get_freeze_count() > 1_000
assert not any(one is alive for one in gc.get_objects())
assert gc.get_threshold()[0] == GATEWAY_GC_THRESHOLD
gc.enable()
later = weakref.ref(Node())
while later() is not None and len(young) <= GATEWAY_GC_THRESHOLD:
    young.append([])
print(len(young))
"""


def test_the_garbage_collector_leaves_out_what_is_there_at_the_end_of_a_start_and_no_more() -> None:
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert 1_000 < int(done.stdout) <= memory.GATEWAY_GC_THRESHOLD
