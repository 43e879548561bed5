"""The first detector as an object: tables for the kernel from catalog and settings, events from what it writes.

Owned by one thread; results depend on the samples (and the times given to idle) alone, not on how they are cut into
blocks. Bad data (NaN, infinities, odd stamps) is never an error here; DetectorStateError says why a saved state does
not fit.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from edge.detector import kernel
from edge.detector.errors import DetectorStateError
from edge.model import SampleBlock
from edge.settings import DetectorSection
from vantel.catalog import Catalog, Signal, SignalType
from vantel.payloads import Event, Severity

DETECTOR_NAME = "first-1"
"""Name and version in every event; changes with anything that changes events or the saved state."""
_EVENT_ROWS = 256
_NUMBERS = {SignalType.FLOAT64, SignalType.FLOAT32, SignalType.INT64, SignalType.UINT64}
_MAGIC = b"VDS1"
_HEAD = struct.Struct("<4sQI")  # magic, catalog hash, signals


class Detector:
    """State of all signals of one stream."""

    def __init__(self, catalog: Catalog, settings: DetectorSection) -> None:
        n = len(catalog)
        self._catalog = catalog
        self._ids = [signal.id for signal in catalog.signals]
        muted = {name.lower() for name in settings.muted}
        self.muted_unknown = tuple(sorted(muted - {signal.name.lower() for signal in catalog.signals}))
        """Muted names that this van does not have: worth a warning, no reason to stop."""
        rows = [_policy_row(signal, signal.name.lower() in muted) for signal in catalog.signals]
        self._policy = np.array(rows, np.float64).reshape(n, kernel.POLICY_COLUMNS)
        self._silent = np.flatnonzero(~np.isnan(self._policy[:, kernel.POLICY_SILENCE_NS])).astype(np.int32)
        self._params = np.array(
            [
                settings.warmup_samples,
                settings.robust_z_min,
                settings.refractory_s * 1e9,
                settings.tick_s * 1e9,
            ],
            np.float64,
        )
        self._levels = np.zeros((n, kernel.LEVELS), np.float64)
        self._levels[:, kernel.RESOLUTION] = np.inf
        self._stamps = np.zeros((n, kernel.STAMPS), np.int64)
        self._stamps[:, kernel.T_ARRIVAL] = kernel.NEVER
        self._clock = np.full(2, kernel.NEVER, np.int64)
        rows_out = _EVENT_ROWS + len(self._silent) + len(kernel.CHANNELS)
        self._out_f = np.zeros((rows_out, 4), np.float64)
        self._out_i = np.zeros((rows_out, 3), np.int64)

    def step(self, block: SampleBlock) -> list[Event]:
        """Judge a block; return the events of its samples in their order."""
        slot = np.ascontiguousarray(block.slot, np.int32)
        stamps = np.ascontiguousarray(block.t_mono_ns, np.int64)
        value = np.ascontiguousarray(block.value, np.float64)
        events: list[Event] = []
        count = np.zeros(1, np.int64)
        done = 0
        while done < len(block):
            count[0] = 0
            done = kernel.step(
                slot, stamps, value, done, self._clock, self._silent, self._policy, self._levels, self._stamps,
                self._params, self._out_f, self._out_i, count,
            )  # fmt: skip
            events.extend(self._events(int(count[0])))
        return events

    def idle(self, t_mono_ns: int) -> list[Event]:
        """The stream has reached t_mono_ns without a sample: time-outs of signals that have gone silent."""
        count = kernel.advance(
            t_mono_ns, self._clock, self._silent, self._policy, self._levels, self._stamps, self._params,
            self._out_f, self._out_i, 0,
        )  # fmt: skip
        return self._events(count)

    def state(self) -> bytes:
        """Everything learned so far; 232 bytes a signal."""
        head = _HEAD.pack(_MAGIC, self._catalog.hash, len(self._catalog))
        arrays = (self._clock, self._stamps, self._levels)
        return head + b"".join(array.astype(array.dtype.newbyteorder("<")).tobytes() for array in arrays)

    def restore(self, data: bytes) -> None:
        """Take over what state() of a detector with the same catalog gave. DetectorStateError leaves all as it was."""
        arrays = (self._clock, self._stamps, self._levels)
        expected = _HEAD.pack(_MAGIC, self._catalog.hash, len(self._catalog))
        size = len(expected) + sum(array.nbytes for array in arrays)
        if data[: len(expected)] != expected:
            raise DetectorStateError(
                "restore detector state: it is of another catalog or version; starting afresh"
            )
        if len(data) != size:
            raise DetectorStateError(
                f"restore detector state: {len(data)} bytes instead of {size}; starting afresh"
            )
        offset = len(expected)
        for array in arrays:
            saved = np.frombuffer(data, array.dtype.newbyteorder("<"), array.size, offset)
            array[...] = saved.reshape(array.shape)
            offset += array.nbytes

    def _events(self, count: int) -> list[Event]:
        events = []
        for (slot, channel, t_ns), numbers in zip(
            self._out_i[:count].tolist(), self._out_f[:count].tolist(), strict=True
        ):
            value, score, threshold, expected = numbers
            events.append(
                Event(
                    signal_id=self._ids[slot],
                    channel=kernel.CHANNELS[channel],
                    t_mono_ns=t_ns,
                    value=value,
                    score=score,
                    threshold=threshold,
                    expected=expected,
                    severity=Severity.INFO if channel == kernel.ROBUST_Z else Severity.WARNING,
                    detector=DETECTOR_NAME,
                )
            )
        return events


def _policy_row(signal: Signal, muted: bool) -> list[float]:
    """The signal's row of the policy table; all NaN when it is muted."""
    row = [math.nan] * kernel.POLICY_COLUMNS
    if muted:
        return row
    policy = signal.policy
    if policy.silence_s_max is not None:
        row[kernel.POLICY_SILENCE_NS] = policy.silence_s_max * 1e9
    if policy.stuck_s_max is not None:
        row[kernel.POLICY_STUCK_NS] = policy.stuck_s_max * 1e9
    if signal.type in _NUMBERS:
        row[kernel.POLICY_ROBUST] = 1.0
        for column, limit in (
            (kernel.POLICY_MIN, policy.min),
            (kernel.POLICY_MAX, policy.max),
            (kernel.POLICY_RATE, policy.rate_per_s_max),
        ):
            if limit is not None:
                row[column] = limit
    return row
