"""Compile every kernel once, into the cache of Numba, before sampling starts.

Kernels have explicit signatures, so importing a module compiles (or loads) what is in it. What only compiling needs can be
given back afterwards.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import time
from collections.abc import Iterator

from numba.core.codegen import CPUCodeLibrary

KERNEL_MODULES = (
    "vantel.crc32c",
    "vantel.codec",
    "vantel.campaign.kernel",
    "edge.ordering",
    "edge.rings",
    "edge.detector",
    "edge.sampler",
    "edge.batcher",
    "edge.faults",
    "edge.capture.gather",
    "edge.sources.dbc_kernel",
    "edge.sources.can_socket",
    "edge.sources.can_turn",
    "edge.sources.checksums",
    "edge.sources.receive_stamps",
    "edge.spool",
)


def warm_kernels() -> Iterator[tuple[str, float]]:
    """Yield (module, seconds) as each module is loaded."""
    for name in KERNEL_MODULES:
        started = time.perf_counter()
        importlib.import_module(name)
        yield name, time.perf_counter() - started


def forget_compiling() -> None:
    """Give back memory that a process needs no more once all its kernels are loaded, 16 MB and more.

    Numba keeps the bitcode of every cached kernel for others that are compiled later and call it; such a compilation fails
    from now on, and none happens in an agent. What the start left free in the heap goes back as well, where libc can.
    """
    for library in [o for o in gc.get_objects() if isinstance(o, CPUCodeLibrary)]:
        if (bitcode := getattr(library, "_shared_module", None)) is not None:
            library._shared_module = None
            bitcode.close()
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
