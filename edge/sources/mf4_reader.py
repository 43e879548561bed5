"""MDF 4 logs, read by python-can and asammdf in a process of their own.

asammdf trusts what a file says of itself, in Python and in C: damage comes out of it as any exception, as a loop without end, as
all the memory there is, or as the death of the process. So it runs in a child, with bounds on memory and processor time, that
writes the lines of a candump log; whatever becomes of it is an Mf4Error here. Needs the package asammdf, an extra.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import cast

import can

MEMORY_BYTES, MEMORY_PER_BYTE = 4 << 30, 20
CPU_S, BYTES_PER_CPU_S = 60, 50_000
"""What a child may take: so much, and so much for each byte of the file as it lies on the disk."""
ERROR_CHARS_MAX = 200


class Mf4Error(ValueError):
    """The log cannot be read, or not on."""


def is_there() -> bool:
    """Whether asammdf is installed."""
    return importlib.util.find_spec("asammdf") is not None


def read_messages(path: Path) -> Iterator[can.Message]:
    """Messages of a log, also one packed with gzip, in the order of their times. Raises Mf4Error."""
    with tempfile.TemporaryFile("w+") as told:
        child = subprocess.Popen(
            [sys.executable, "-m", __name__, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
        )
        assert child.stdout is not None
        try:
            yield from can.CanutilsLogReader(child.stdout)
            code = child.wait()
        finally:  # who reads no further takes the child with him
            child.kill()
            child.wait()
            child.stdout.close()
        if code < 0:
            raise Mf4Error(f"its reader was ended by {signal.Signals(-code).name}")
        if code:
            told.seek(max(0, told.seek(0, os.SEEK_END) - ERROR_CHARS_MAX))
            raise Mf4Error(told.read().strip().rpartition("\n")[2] or f"its reader ended with {code}")


def _write_messages(path: Path) -> None:
    """Body of the child."""
    from edge.sources.can_log import open_binary

    # before anything is unpacked: a small .gz may hold any number of bytes
    size = path.stat().st_size
    bytes_max = MEMORY_BYTES + MEMORY_PER_BYTE * size
    seconds_max = CPU_S + size // BYTES_PER_CPU_S
    for kind, most in (
        (resource.RLIMIT_AS, bytes_max),
        (resource.RLIMIT_CPU, seconds_max),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    with open_binary(path) as file:
        data = file.read()
    writer = can.CanutilsLogWriter(sys.stdout, channel="can0")
    for message in can.MF4Reader(cast("str", BytesIO(data))):
        writer(message)
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        _write_messages(Path(sys.argv[1]))
    except Exception as cause:  # the child's one task is to say in a line what went wrong
        sys.stdout.flush()
        line = f"{type(cause).__name__}: {' '.join(str(cause).split())}"
        sys.stderr.write(f"\n{line[: ERROR_CHARS_MAX // 2]}\n")
        sys.stderr.flush()
        os._exit(1)  # objects that are half built would complain once more
