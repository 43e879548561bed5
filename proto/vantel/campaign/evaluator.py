"""A program at work: samples and detector events in, triggers out. The state of one stream, used by one thread.

What comes out depends on the samples alone, not on how they are cut into blocks, so that a back-test and a van agree.
Never fails on data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vantel.campaign import kernel
from vantel.campaign.limits import WINDOW_S_MAX
from vantel.campaign.program import Program

TICK_NS = 10_000_000
"""Conditions are evaluated a hundred times a second of the stream."""
TRIGGERS_A_STEP_MAX = 4096


class Trigger(NamedTuple):
    """condition: its number in the program. t_mono_ns: end of the tick at which it became true."""

    condition: int
    t_mono_ns: int


class Happened(NamedTuple):
    """An event of the detector, as conditions see it."""

    channel: str
    signal_id: int
    t_mono_ns: int


class Evaluator:
    """repeat_s, quiet_s: of each condition; repeat_s 0: only when it becomes true."""

    def __init__(
        self, program: Program, n_signals: int, repeat_s: Sequence[float], quiet_s: Sequence[float]
    ) -> None:
        self._program = program
        inputs = len(program.signals) + len(program.events)
        nodes, conditions = len(program.rows), len(program.roots)
        self._input_of = np.full(n_signals + len(program.events), -1, np.int32)
        self._input_of[list(program.signals)] = np.arange(len(program.signals))
        self._input_of[n_signals:] = np.arange(len(program.signals), inputs)
        self._event_slot = {key: n_signals + at for at, key in enumerate(program.events)}
        self._in_real = np.full((inputs, kernel.INPUT_REALS), np.nan)
        self._in_whole = np.zeros((inputs, kernel.INPUT_WHOLES), np.int64)
        self._whole = np.zeros((nodes, kernel.NODE_WHOLES), np.int64)
        self._whole[:, [kernel.FIRST, kernel.SIZE]] = program.windows
        self._whole[program.windows[:, 1] == 0, kernel.HEAD] = kernel.NEVER
        self._real = np.full((nodes, kernel.NODE_REALS), np.nan)
        self._real[program.windows[:, 1] > 0] = 0.0
        entries = int(program.windows[:, 1].sum())
        self._stamp = np.zeros(entries, np.int64)
        self._entry = np.zeros((entries, 2))
        self._root = np.zeros((conditions, kernel.ROOT_WHOLES), np.int64)
        self._root[:, kernel.LEVEL] = -1
        self._root[:, kernel.LAST_TRIGGER] = kernel.NEVER
        for column, seconds in ((kernel.REPEAT, repeat_s), (kernel.QUIET, quiet_s)):
            self._root[:, column] = np.ceil(np.array(seconds, np.float64) * 1e9 / program.tick_ns)
        self._clock = np.full(kernel.CLOCK_WHOLES, kernel.NEVER, np.int64)
        self._clock[kernel.DROPPED] = 0
        self._gap_ticks = round(2 * WINDOW_S_MAX * 1e9 / program.tick_ns)
        self._out = np.zeros((TRIGGERS_A_STEP_MAX, 2), np.int64)

    @property
    def wanted(self) -> tuple[int, ...]:
        """Catalog rows of the signals that conditions use."""
        return self._program.signals

    @property
    def triggers_dropped(self) -> int:
        """Ticks with a trigger that found no room: a step gives TRIGGERS_A_STEP_MAX."""
        return int(self._clock[kernel.DROPPED])

    def values(self) -> NDArray[np.float64]:
        """Truth of every condition at the last tick: 1.0, 0.0, NaN for unknown."""
        return np.array(self._real[self._program.roots, kernel.VALUE])

    def step(
        self,
        slot: NDArray[np.int32],
        t_mono_ns: NDArray[np.int64],
        value: NDArray[np.float64],
        events: Sequence[Happened] = (),
        until_ns: int | None = None,
    ) -> list[Trigger]:
        """Take samples (slot: catalog row, negative for none) and events; then go on to until_ns, for streams that pause."""
        told = self._told(events) if events and self._event_slot else []
        if told:
            slots, stamps = (
                np.array([row for row, _ in told], np.int32),
                np.array([t for _, t in told], np.int64),
            )
            slot, t_mono_ns = np.concatenate([slots, slot]), np.concatenate([stamps, t_mono_ns])
            value = np.concatenate([np.ones(len(told)), value])
            order = np.argsort(t_mono_ns, kind="stable")
            slot, t_mono_ns, value = slot[order], t_mono_ns[order], value[order]
        found = kernel.advance(
            np.ascontiguousarray(slot, np.int32), np.ascontiguousarray(t_mono_ns, np.int64),
            np.ascontiguousarray(value, np.float64), kernel.NEVER if until_ns is None else until_ns,
            self._program.tick_ns, self._gap_ticks, self._input_of, self._program.rows, self._program.constant,
            self._program.roots, self._in_real, self._in_whole, self._whole, self._real, self._stamp, self._entry,
            self._root, self._clock, self._out,
        )  # fmt: skip
        return [Trigger(int(k), int(t)) for k, t in self._out[:found]]

    def _told(self, events: Sequence[Happened]) -> list[tuple[int, int]]:
        """(slot, time) for each event function that an event makes true."""
        return [
            (row, event.t_mono_ns)
            for event in events
            for (channel, signal_id), row in self._event_slot.items()
            if channel in ("", event.channel) and signal_id in (0, event.signal_id)
        ]
