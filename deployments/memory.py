"""Memory of a gateway or a release: freed pages are kept, and Python searches only what is new for cycles.

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
YOUNG_OBJECTS = 10_000  # so many more since the last search start a gateway's next; 700 by default, as a block may have
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def keep_freed_pages() -> bool:
    """Have this process keep the memory of buffers that come again; gives whether its allocator can be told."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl, macOS
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES))


def leave_start_alone(young_objects: int | None = None) -> None:
    """Take what is alive out of Python's searches for cycles: all that was imported and loaded, once, at the end of it.

    A search of all objects of a gateway stops it for 80 ms and more, every few thousand requests.

    Args:
        young_objects: How many new ones start a search; None for as many as before, where what is executed may leave
            cycles that hold tensors.
    """
    gc.collect()
    gc.freeze()
    if young_objects is not None:
        gc.set_threshold(young_objects, *gc.get_threshold()[1:])
