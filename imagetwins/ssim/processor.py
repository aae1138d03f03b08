"""Which of the kernels for integers this process uses: the fastest that its processor can run.

All of them compute the same integers (integers.py), and add to these in float32, whose rounding every bound allows for:
the pairs that are found are the same.

What numba is told of the processor counts: with NUMBA_CPU_NAME=generic and NUMBA_CPU_FEATURES, a list as "+avx2,+fma" or
nothing, a process compiles everything as it would on a lesser processor.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from functools import cache

from numba import config
from numba.core.codegen import get_host_cpu_features

from imagetwins.errors import ParameterError


class Kernels(IntEnum):
    """The kernels for integers, from the slowest to the fastest."""

    PLAIN = 0
    """For any processor: what LLVM makes of ordinary vectors."""
    AVX2 = 1
    """For x86 of about 2013 and later: products of 16-bit integers."""
    AVX_VNNI = 2
    """Products of 8-bit integers, 32 at a time."""
    AVX512_VNNI = 3
    """Products of 8-bit integers, 64 at a time."""

    @property
    def label(self) -> str:
        """The name by which it is asked for and reported."""
        return self.name.lower().replace("_", "-")


_NEEDED = {
    Kernels.PLAIN: (),
    Kernels.AVX2: ("avx2",),
    # Either of two ways to write the same instruction.
    Kernels.AVX_VNNI: ("avx2", "avxvnni"),
    Kernels.AVX512_VNNI: ("avx512f", "avx512bw", "avx512vnni"),
}
"""What the processor must have, by LLVM's names."""


@cache
def find_runnable() -> tuple[Kernels, ...]:
    """Return the kernels that numba can compile for this processor, from the slowest to the fastest."""
    told = config.CPU_FEATURES  # type: ignore[attr-defined]
    features = set((get_host_cpu_features() if told is None else told).split(","))  # type: ignore[no-untyped-call]
    return tuple(kernels for kernels in Kernels if all(f"+{name}" in features for name in _NEEDED[kernels]))


_forced: list[Kernels] = []


def choose_kernels() -> Kernels:
    """Return the fastest kernels that can run here, unless others are forced."""
    return _forced[-1] if _forced else max(find_runnable())


@contextmanager
def force_kernels(kernels: Kernels) -> Iterator[None]:
    """Have all threads of this process use `kernels` meanwhile.

    Raises:
        ParameterError: they cannot run here.
    """
    if kernels not in find_runnable():
        names = ", ".join(one.label for one in find_runnable())
        raise ParameterError(f"kernels {kernels.label!r} cannot run on this processor: use one of {names}")
    _forced.append(kernels)
    try:
        yield
    finally:
        _forced.pop()
