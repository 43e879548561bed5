"""The thread of live CAN buses: waits for frames and lets them gather, then every bus takes its turn.

Buses of the kernel that gather for the same time share one thread, for a wake-up costs more than the frames it finds. One
that fails unexpectedly is put out of the shared thread, so that the others go on. Returns when stop is set or no bus is left.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from edge.model import Emit, Source

POLL_S = 0.1
"""A stop is seen, and the state of a silent bus told, this late."""


class Turning(Protocol):
    """A bus as the thread sees it."""

    name: str
    gather_s: float

    def fileno(self) -> int | None:
        """Descriptor to wait on; None while the interface is lost, or where there is none."""
        ...

    def wait(self, timeout_s: float) -> None:
        """Until frames have arrived, timeout_s at most."""
        ...

    def wait_s(self) -> float:
        """How long to wait for frames at most, before another turn is due."""
        ...

    def turn(self, emit: Emit) -> bool:
        """Read what has arrived and emit it; whether it was anything."""
        ...

    def close(self) -> None:
        """Give the interface back."""
        ...


def read_buses(
    buses: Iterable[tuple[Turning, Emit]],
    stop: threading.Event,
    failed: Callable[[Turning, Exception], None] | None = None,
) -> None:
    """Body of the thread. failed: takes a bus whose turn raised; None: the exception goes through."""
    parts = list(buses)
    gather_s = parts[0][0].gather_s
    dense = False
    try:
        while parts and not stop.is_set():
            if not dense:
                _wait([bus for bus, _ in parts])
            # All read at the same ticks. While every tick finds frames there is nothing to wait for.
            if gather_s:
                time.sleep(gather_s - time.monotonic() % gather_s)
            dense = False
            for bus, emit in tuple(parts):
                try:
                    dense |= bus.turn(emit)
                except Exception as cause:  # one bus must not take the others down
                    bus.close()
                    if failed is None:
                        raise
                    parts.remove((bus, emit))
                    failed(bus, cause)
            dense &= gather_s > 0
    finally:
        for bus, _ in parts:
            bus.close()


def sharing(sources: Iterable[Source]) -> list[list[Source]]:
    """Which sources go into one thread: buses that say so, by `shared_by`; every other alone."""
    groups: dict[tuple[float | None, int], list[Source]] = {}
    for source in sources:
        shared_by = getattr(source, "shared_by", None)
        groups.setdefault((shared_by, id(source) if shared_by is None else 0), []).append(source)
    return list(groups.values())


def _wait(buses: Sequence[Turning]) -> None:
    """Until some bus has frames, or is due for a turn without."""
    if len(buses) == 1:
        buses[0].wait(buses[0].wait_s())
        return
    poll = select.poll()
    for bus in buses:
        if (descriptor := bus.fileno()) is not None:
            poll.register(descriptor, select.POLLIN)
    poll.poll(min(bus.wait_s() for bus in buses) * 1000.0)
