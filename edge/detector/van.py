"""The detector of a van: samples of all signals in, events out. Tables from catalog and settings, events from the kernel.

Owned by one thread; results depend on the samples (and the times given to idle) alone, not on how they are cut into
blocks. Bad data (NaN, infinities, odd stamps) is never an error here; DetectorStateError says why a saved state does
not fit.
"""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np

from edge.detector import arrivals, guards, motion, walk
from edge.detector.errors import DetectorStateError
from edge.detector.group import Sets
from edge.detector.incidents import Finding, Incidents
from edge.detector.layout import LEVELS, MAY_REST, MEMORY, OFF, OUTS, SCALES, begin_anew
from edge.detector.peers import declared
from edge.detector.sets import forget_pending
from edge.detector.stream import scales
from edge.model import SampleBlock
from edge.settings import DetectorSection
from vantel.catalog import Catalog, Signal, SignalType
from vantel.payloads import Event, Severity

DETECTOR_NAME = "vantel-5"
"""Name and version in every event; changes with anything that changes events or the saved state."""
_FINDING_ROWS = 256
_NUMBERS = {SignalType.FLOAT64, SignalType.FLOAT32, SignalType.INT64, SignalType.UINT64}
_MAGIC = b"VDS7"
_HEAD = struct.Struct("<4sQIII")  # magic, catalog hash, signals, rows, CRC-32 of who is whose peer


class Detector:
    """State of all signals of one stream."""

    def __init__(self, catalog: Catalog, settings: DetectorSection, offset_ns: int = 0) -> None:
        """offset_ns is UTC minus stream time, for mutes that end."""
        n = len(catalog)
        self._catalog = catalog
        self._offset_ns = offset_ns
        self._ids = [signal.id for signal in catalog.signals]
        names = {signal.name.lower(): slot for slot, signal in enumerate(catalog.signals)}
        muted = {name.lower(): mute.end_unix_ns for name, mute in settings.muted.items()}
        self._muted = {names[name]: end for name, end in muted.items() if name in names}
        self._policy = np.array([_policy_row(signal) for signal in catalog.signals], np.float64)
        self._policy = self._policy.reshape(n, guards.POLICY_COLUMNS)
        self._silent = np.flatnonzero(~np.isnan(self._policy[:, guards.POLICY_SILENCE_NS])).astype(np.int32)
        self._sets = Sets(n, declared(catalog, settings.peers))
        rows = self._sets.row_count
        self._params = np.array(
            [
                settings.warmup_samples,
                settings.robust_z_min,
                settings.refractory_s * 1e9,
                settings.tick_s * 1e9,
                settings.incidents_per_day_max / max(rows, 1),
            ],
            np.float64,
        )
        self._scale = np.zeros((rows, SCALES))
        self._scale[:, MEMORY : MEMORY + 2] = scales(None)
        self._scale[:, OFF : OFF + 2] = self._sets.scale
        self._scale[:n, MAY_REST] = 1.0
        self._modes = motion.mode_slots(catalog.signals)
        self._incidents = Incidents(n, self._sets.members, settings)
        self._allocate(n, rows)

    def _allocate(self, n: int, rows: int) -> None:
        self._guard_levels = np.zeros((n, guards.LEVELS))
        self._guard_levels[:, guards.RESOLUTION] = np.inf
        self._guard_stamps = np.zeros((n, guards.STAMPS), np.int64)
        self._guard_stamps[:, guards.T_ARRIVAL] = guards.NEVER
        self._clock = np.zeros(arrivals.CLOCKS, np.int64)
        self._clock[: guards.TICK + 1] = guards.NEVER
        self._alarms = np.zeros((rows, walk.ALARM_COLUMNS), np.int64)
        self._levels = np.zeros((rows, LEVELS))
        self._out = np.zeros((rows, OUTS))
        room = _FINDING_ROWS + len(self._silent) + n + walk.FINDINGS_A_SAMPLE
        self._out_f = np.zeros((room, 4))
        self._out_i = np.zeros((room, walk.OUT_COLUMNS), np.int64)

    def rebase(self, offset_ns: int) -> None:
        """UTC minus stream time has changed: mutes end by the new one."""
        self._offset_ns = offset_ns

    def step(self, block: SampleBlock) -> list[Event]:
        """Judge a block; return the events that are due, in the order of their time."""
        slot = np.ascontiguousarray(block.slot, np.int32)
        stamps = np.ascontiguousarray(block.t_mono_ns, np.int64)
        value = np.ascontiguousarray(block.value, np.float64)
        findings: list[Finding] = []
        count = np.zeros(1, np.int64)
        done = 0
        while done < len(block):
            count[0] = 0
            done = walk.step(
                slot, stamps, value, done, self._clock, self._silent, self._policy, self._guard_levels,
                self._guard_stamps, self._params, self._sets.members, self._sets.sizes, self._sets.rows,
                self._sets.state, self._levels, self._scale, self._alarms, self._modes, self._out,
                self._out_f, self._out_i, count,
            )  # fmt: skip
            findings.extend(self._findings(int(count[0])))
        return self._events(self._incidents.take(findings, int(self._clock[guards.CLOCK])))

    def idle(self, t_mono_ns: int) -> list[Event]:
        """The stream has reached t_mono_ns without a sample: time-outs of signals that have gone silent."""
        count = arrivals.pass_time(
            t_mono_ns, self._clock, self._silent, self._policy, self._guard_levels, self._guard_stamps, self._params,
            self._out_f, self._out_i, 0,
        )  # fmt: skip
        return self._events(self._incidents.take(self._findings(count), int(self._clock[guards.CLOCK])))

    def state(self) -> bytes:
        """Everything learned so far; about 4 KiB a signal, and as much for each member of a set."""
        arrays = b"".join(
            array.astype(array.dtype.newbyteorder("<")).tobytes() for array in self._state_arrays()
        )
        return self._head() + arrays

    def restore(self, data: bytes) -> None:
        """Take over what state() of a detector with the same catalog and peers gave. DetectorStateError leaves all as it was."""
        arrays = self._state_arrays()
        expected = self._head()
        size = len(expected) + sum(array.nbytes for array in arrays)
        if data[: len(expected)] != expected:
            raise DetectorStateError(
                "restore detector state: it is of another catalog, other peers or another version; starting afresh"
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

    def resume(self, data: bytes, same_boot: bool) -> None:
        """Go on, in a new process, from what state() gave. DetectorStateError as restore().

        Nothing was received in between, so no signal counts as silent before it comes again. After a reboot stamps have
        begun anew: what was learned stays, what is of the moment (guards, open alarms and incidents) is forgotten.
        """
        self.restore(data)
        if same_boot:
            self._guard_stamps[:, guards.T_ARRIVAL] = guards.NEVER
            return
        levels, state = self._levels, self._sets.state
        self._allocate(len(self._catalog), len(levels))
        self._levels = levels
        begin_anew(levels)
        forget_pending(state)
        self._incidents.forget()

    def _head(self) -> bytes:
        peers = zlib.crc32(self._sets.members.astype("<i4").tobytes())
        return _HEAD.pack(_MAGIC, self._catalog.hash, len(self._catalog), self._sets.row_count, peers)

    def _state_arrays(self) -> tuple[np.ndarray, ...]:
        return (
            self._clock, self._guard_stamps, self._guard_levels, self._alarms, self._levels,
            self._sets.state, *self._incidents.arrays(),
        )  # fmt: skip

    def _findings(self, count: int) -> list[Finding]:
        rows = zip(self._out_i[:count].tolist(), self._out_f[:count].tolist(), strict=True)
        return [Finding(*integers, *numbers) for integers, numbers in rows]

    def _events(self, findings: list[Finding]) -> list[Event]:
        return [
            Event(
                signal_id=self._ids[finding.slot],
                channel=walk.CHANNELS[finding.channel],
                t_mono_ns=finding.t_ns,
                value=finding.value,
                score=finding.score,
                threshold=finding.threshold,
                expected=finding.expected,
                severity=Severity.INFO if finding.channel >= guards.ROBUST_Z else Severity.WARNING,
                detector=DETECTOR_NAME,
            )
            for finding in findings
            if finding.t_ns + self._offset_ns >= self._muted.get(finding.slot, -math.inf)
        ]


def _policy_row(signal: Signal) -> list[float]:
    """The signal's row of the policy table."""
    row = [math.nan] * guards.POLICY_COLUMNS
    policy = signal.policy
    if policy.silence_s_max is not None:
        row[guards.POLICY_SILENCE_NS] = policy.silence_s_max * 1e9
    if policy.stuck_s_max is not None:
        row[guards.POLICY_STUCK_NS] = policy.stuck_s_max * 1e9
    if signal.type in _NUMBERS:
        row[guards.POLICY_JUDGED] = 1.0
        for column, limit in (
            (guards.POLICY_MIN, policy.min),
            (guards.POLICY_MAX, policy.max),
            (guards.POLICY_RATE, policy.rate_per_s_max),
        ):
            if limit is not None:
                row[column] = limit
    return row
