"""Numbers next to zero are zero while a model is executed, because processors take a hundred times as long for them.

Training pulls weights towards zero and leaves many of them below the smallest normal number of their type (1.2e-38 in
FP32), the weights of pixels that are never set for one. No answer shows the difference; TensorFlow does the same around
its kernels. Python has no way to say so, so the C library's floating-point environment (`fenv.h`) is changed.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

_WORDS = {
    "x86_64": (7, 1 << 15 | 1 << 6),  # MXCSR: flush to zero, denormals are zero
    "aarch64": (0, 1 << 24),  # FPCR: flush to zero
}
"""Where in Linux's `fenv_t`, in words of four bytes, the bits are that have denormal numbers taken as zero."""

_Environment = ctypes.c_uint32 * 16  # twice as long as any of them
_c_library = ctypes.PyDLL(None)  # its calls take less time than to let go of the interpreter
_CAN = platform.system() == "Linux" and platform.machine() in _WORDS and hasattr(_c_library, "fesetenv")


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Have this thread, and those that it begins meanwhile for good, take denormal numbers as zero; on Linux."""
    if not _CAN:
        yield
        return
    word, bits = _WORDS[platform.machine()]
    before = _Environment()
    _c_library.fegetenv(before)
    meanwhile = _Environment.from_buffer_copy(before)
    meanwhile[word] |= bits
    _c_library.fesetenv(meanwhile)
    try:
        yield
    finally:
        _c_library.fesetenv(before)
