"""Compiled functions, and what they are made of."""

from numba.core.dispatcher import Dispatcher


def kernels_within(kernel, found=frozenset()):
    """Return `kernel`, all kernels that it calls, and all that those call; `found` are known already."""
    called = [kernel.py_func.__globals__.get(name) for name in kernel.py_func.__code__.co_names]
    for one in called:
        if isinstance(one, Dispatcher) and one not in found:
            found |= kernels_within(one, found | {one})
    return found | {kernel}
