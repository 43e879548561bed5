"""How kernels are compiled: for one signature, without the GIL, kept on disk, and without reference counts.

Numba counts the references to every array that a compiled function is given, an atomic step up and one down for each array
and call. Where a sample passes ten functions of six arrays each, that is more than the work itself. A kernel that allocates
nothing needs no such counts, for its caller holds the arrays. Compiled without Numba's runtime it has none, and one that
does allocate fails to compile: "allocates nothing" is checked, not said. Functions that make arrays stay with numba.njit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

NO_ALLOCATION: dict[str, Any] = {"_nrt": False}
"""What Numba's own library functions are compiled with for this purpose (numba.cpython.unicode)."""


def kernel(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: compile for `signature` (Numba types, or their text) now, or take what an earlier process compiled.

    options: further ones of numba.njit. numba.NumbaError at import for a function that allocates.
    """
    compiled: Callable[[Callable[..., Any]], Any] = numba.njit(
        signature, nogil=True, cache=True, **NO_ALLOCATION, **options
    )
    return compiled
