"""The state of a CAN bus as signals: controller state, error counters, drops, load, and whether the interface is there.

Error frames of SocketCAN in, samples out: those that changed, and all of them once a period. Source:
linux/can/error.h, whose numbers stand below. Pure; never fails on data.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.sources.chunks import legal_group
from vantel.catalog import Signal, SignalType

STATES = ("UNKNOWN", "ERROR_ACTIVE", "ERROR_WARNING", "ERROR_PASSIVE", "BUS_OFF")
UNKNOWN, ACTIVE, WARNING, PASSIVE, BUS_OFF = range(5)
_CLASS_CONTROLLER, _CLASS_BUS_OFF, _CLASS_RESTARTED, _CLASS_COUNTERS = 0x004, 0x040, 0x100, 0x200
_CONTROLLER_WARNING, _CONTROLLER_PASSIVE, _CONTROLLER_ACTIVE = 0x04 | 0x08, 0x10 | 0x20, 0x40
PERIOD_NS = 1_000_000_000
NAMES = (
    "IsUp",
    "State",
    "TxErrors",
    "RxErrors",
    "ErrorFrames",
    "FramesDropped",
    "FramesReceived",
    "FrameRate",
)
IS_UP, STATE, TX_ERRORS, RX_ERRORS, ERROR_FRAMES, DROPPED, RECEIVED, RATE = range(8)


class BusState:
    """State of one bus; slot_first is the slot of its first signal."""

    def __init__(self, prefix: str, slot_first: int) -> None:
        self._prefix = prefix
        self._slot_first = slot_first
        self._values = np.zeros(len(NAMES), np.float64)
        self._given = np.full(len(NAMES), np.nan)
        self._next_ns = 0
        self._rated_ns = self._rated = 0
        self._received = self._dropped = 0
        self._changed = False

    def signals(self) -> list[Signal]:
        """Declarations, in the order of NAMES: `<prefix>.Bus.<name>`."""
        kinds = {IS_UP: SignalType.BOOL, STATE: SignalType.ENUM, RATE: SignalType.FLOAT64}
        return [
            Signal(
                name=f"{self._prefix}.Bus.{name}",
                unit="Hz" if at == RATE else "",
                type=kinds.get(at, SignalType.UINT64),
                group=legal_group(self._prefix),
                labels=STATES if at == STATE else (),
            )
            for at, name in enumerate(NAMES)
        ]

    def up(self, is_up: bool) -> None:
        """The interface was opened, or is lost; what a lost one thought of itself is not known any more."""
        self._values[IS_UP] = is_up
        if not is_up or self._values[STATE] == UNKNOWN:
            self._values[STATE] = ACTIVE if is_up else UNKNOWN
        self._changed = True

    def frames(self, received: int, dropped: int) -> None:
        """Frames that have come so far, and that the kernel has dropped."""
        self._received, self._dropped = received, dropped

    def due(self, now_ns: int) -> bool:
        """Whether samples() has something to tell."""
        return self._changed or now_ns >= self._next_ns

    def errors(self, ids: NDArray[np.uint32], payload: NDArray[np.uint8]) -> None:
        """Error frames, in order. ids: uint32[n], the error classes. payload: uint8[n, >= 8]."""
        self._values[ERROR_FRAMES] += len(ids)
        self._changed = True
        for classes, data in zip(ids.tolist(), payload[:, :8].tolist(), strict=True):
            if classes & _CLASS_BUS_OFF:
                self._values[STATE] = BUS_OFF
            elif classes & _CLASS_RESTARTED:
                self._values[STATE] = ACTIVE
            elif classes & _CLASS_CONTROLLER:
                for flags, state in (
                    (_CONTROLLER_PASSIVE, PASSIVE),
                    (_CONTROLLER_WARNING, WARNING),
                    (_CONTROLLER_ACTIVE, ACTIVE),
                ):
                    if data[1] & flags:
                        self._values[STATE] = state
                        break
            if classes & _CLASS_COUNTERS:
                self._values[TX_ERRORS], self._values[RX_ERRORS] = data[6], data[7]

    def samples(self, now_ns: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """(slot, value) of what is to be told now: all once a period, between them a change of IsUp or State."""
        self._values[RECEIVED], self._values[DROPPED] = self._received, self._dropped
        self._changed = False
        if now_ns >= self._next_ns:
            self._next_ns = now_ns + PERIOD_NS
            self._values[RATE] = (self._received - self._rated) * 1e9 / max(now_ns - self._rated_ns, 1)
            # the first has no time before it to count in
            told = np.arange(len(NAMES) if self._rated_ns else RATE, dtype=np.int32)
            self._rated_ns, self._rated = now_ns, self._received
        else:
            told = np.flatnonzero(self._values[: STATE + 1] != self._given[: STATE + 1]).astype(np.int32)
        self._given[told] = self._values[told]
        return (told + self._slot_first).astype(np.int32), self._values[told]
