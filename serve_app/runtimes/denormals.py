"""Numbers next to zero are zero while a model is executed, because processors take a hundred times as long for them.

Training pulls weights towards zero and leaves many of them below the smallest normal number of their type (1.2e-38 in
FP32), the weights of pixels that are never set for one. TensorFlow has them taken as zero around its kernels, ONNX
Runtime and PyTorch where they are told to. Python has no way to say so for the thread that it is in, so the C library's
floating-point environment (`fenv.h`) is changed.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

_WORDS = {
    "x86_64": (7, 1 << 15 | 1 << 6),  # MXCSR: flush to zero, denormals are zero
    "aarch64": (0, 1 << 24),  # FPCR: flush to zero
}
"""Where in Linux's `fenv_t`, in words of four bytes, the bits are that have denormal numbers taken as zero."""

_WORD, _BITS = _WORDS.get(platform.machine(), (0, 0))
_Environment = ctypes.c_uint32 * 16  # twice as long as any of them
_c_library = ctypes.PyDLL(None)  # its calls take less time than to let go of the interpreter
IS_KNOWN = platform.system() == "Linux" and _BITS != 0 and hasattr(_c_library, "fesetenv")


def arithmetic(*, denormals_as_zero: bool) -> Callable[[], AbstractContextManager[object]]:
    """Makes what a model is executed within; it does nothing where the machine's environment is not known."""
    return DenormalsAsZero if denormals_as_zero and IS_KNOWN else nullcontext


class DenormalsAsZero:
    """Has this thread take denormal numbers as zero meanwhile, and those that it begins meanwhile for good.

    Not a generator's context manager: there is one for each execution, some of which take 30 us.
    """

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = _Environment()
        _c_library.fegetenv(self._before)
        meanwhile = _Environment.from_buffer_copy(self._before)
        meanwhile[_WORD] |= _BITS
        _c_library.fesetenv(meanwhile)

    def __exit__(self, *raised: object) -> None:
        _c_library.fesetenv(self._before)
