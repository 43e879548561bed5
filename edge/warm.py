"""Compile every kernel once, into the cache of Numba, before sampling starts.

Kernels have explicit signatures, so importing a module compiles (or loads) what is in it.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator

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
