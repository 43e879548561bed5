"""What a process gives back once its kernels are loaded.

Goal: kernels from the cache work without what only compiling needs, and an upgrade of Numba that moves it is noticed.
Method: a process of its own, for nothing can be compiled in it afterwards; the kernels are in the cache by then.
"""

from __future__ import annotations

import subprocess
import sys

FORGETS = """
import gc
from numba.core.codegen import CPUCodeLibrary
from edge.warm import forget_compiling, warm_kernels
from vantel.crc32c import crc32c
list(warm_kernels())
held = lambda: sum(isinstance(o, CPUCodeLibrary) and o._shared_module is not None for o in gc.get_objects())
before = held()
forget_compiling()
print(before > 20, held(), hex(crc32c(b"123456789")))
"""


def test_kernels_work_without_their_bitcode() -> None:
    subprocess.run([sys.executable, "-m", "edge", "warm"], check=True, stdout=subprocess.DEVNULL)
    found = subprocess.run([sys.executable, "-c", FORGETS], check=True, capture_output=True, text=True)
    assert found.stdout.split() == ["True", "0", "0xe3069283"]
