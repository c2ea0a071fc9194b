"""Memory of a gateway or a release: freed pages are kept, and the garbage collector looks at what is new only.

The pages of one request are the next one's. By default a buffer of more than 128 kB may be pages of its own, given
back when it is freed, and so is the free end of a heap. The kernel then clears and maps them anew for each body, which
costs more than reading it, and ten times what a copy of 20 MB takes, in the event loop where a gRPC server makes it;
and for each layer of a PyTorch model, which on a CPU takes as long as the layer (figures are in docs/benchmarks.md).
Bodies may be longer than the 32 MiB from which a buffer has such pages at the latest, so no buffer may have any.
"""

from __future__ import annotations

import ctypes
import gc

KEPT_BYTES = 2**29  # free memory at the end of a heap, before it is given back; prod.yaml has one heap for all threads
GATEWAY_GC_THRESHOLD = 10_000  # new objects that start a collection in a gateway; 700 by default, as one block may have
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def keep_freed_pages() -> bool:
    """Have this process keep the memory of buffers that come again; gives whether its allocator can be told."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl, macOS
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES))


def freeze_heap(gc_threshold: int | None = None) -> None:
    """Keep Python's garbage collector from what is alive at the end of a start: all that was imported and loaded.

    A full collection stops a gateway for 80 ms and more, and comes every few thousand requests.

    Args:
        gc_threshold: New objects that start a collection; None for as many as before, where what is executed may leave
            cycles that hold tensors.
    """
    gc.collect()
    gc.freeze()
    if gc_threshold is not None:
        gc.set_threshold(gc_threshold, *gc.get_threshold()[1:])
