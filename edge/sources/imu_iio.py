"""An inertial sensor on Linux' Industrial I/O as a source: records of its buffer to acceleration and turn rates in van axes.

One [[sources]] of kind imu is one IIO device; an accelerometer and a gyroscope that are two devices are two sources. Values
are turned by the mounting of the settings; gravity tells whether that is right. Stamps are those of the driver where they are
on the monotonic clock, else counted back from the arrival. A device that is lost is looked for again for ever.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

import numpy as np
import structlog
from numpy.typing import NDArray

from edge.clock import VanClock
from edge.model import Emit, SampleBlock
from edge.settings import ImuSource as ImuSection
from edge.sources.imu_device import AXES, Conversion, IioBuffer, find_device, kinds_of, read_text
from edge.sources.imu_layout import TIMESTAMP
from edge.sources.imu_mounting import VECTORS, GravityCheck, doubt, rotation, tilt_deg
from edge.sources.signal_table import SignalTable
from vantel.catalog import Signal

REOPEN_S = 1.0
POLL_S = 0.1
GATHER_S = 0.02
"""Records of so long make one block: a block costs some 0.2 ms of processor, whatever is in it."""
STAMP_SLACK_NS = 5 * 10**9
"""A stamp of the driver further from now is of another clock."""
DEGREES = 180.0 / np.pi
UNITS = {"accel": "m/s^2", "anglvel": "degrees/s"}
FACTORS = {"accel": 1.0, "anglvel": DEGREES}
_log = structlog.get_logger("imu")


class ImuSource:
    """One device."""

    replayed = False
    simulated = False

    def __init__(self, section: ImuSection, clock: VanClock) -> None:
        self.name = section.name
        self.counts: Counter[str] = Counter()
        self._section = section
        self._clock = clock
        self._rotation = rotation(*section.mounting_deg)
        self._table = SignalTable(section.name)
        self._slots: dict[str, list[int]] = {}
        for kind, names in VECTORS.items():
            if kind in section.measures:
                prefix = "Vehicle" if section.primary else section.name
                own = [f"{prefix}.{name.removeprefix('Vehicle.')}" for name in names]
                self._slots[kind] = [self._table.add(name, unit=UNITS[kind]) for name in own]
        self._error_slot = self._table.add(f"{section.name}.MountingError", unit="degrees")
        self._gravity = GravityCheck()
        self._last_ns = 0
        self.notes = self._doubts()

    @property
    def counters(self) -> dict[str, int]:
        """Samples, and what was wrong."""
        return dict(self.counts)

    def signals(self) -> Sequence[Signal]:
        """Acceleration and turn rates as the settings say, and how far gravity is off."""
        return self._table.signals

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Read until stop; a device that is lost, or not there yet, is looked for again and again."""
        told = ""
        while not stop.is_set():
            buffer = None
            try:
                folder = find_device(self._section.root, self._section.device)
                conversions = {kind: Conversion.of(folder, kind) for kind in kinds_of(folder)}
                buffer = IioBuffer(self._section.root, folder, self._section.rate_hz)
                told = ""
                while not stop.is_set():
                    data = buffer.read(POLL_S)
                    if data:
                        self._take(buffer, data, conversions, emit)
                        stop.wait(GATHER_S)
            except OSError as cause:
                self.counts["device_lost" if buffer is not None else "device_refused"] += 1
                if str(cause) != told:
                    told = str(cause)
                    _log.error("IMU lost", source=self.name, device=self._section.device, cause=told)
            finally:
                if buffer is not None:
                    buffer.close()
            stop.wait(REOPEN_S)

    def _take(self, buffer: IioBuffer, data: bytes, conversions: dict[str, Conversion], emit: Emit) -> None:
        raw = buffer.layout.decode(data)
        count = len(data) // buffer.layout.bytes_each
        stamps = self._stamps(raw.get(TIMESTAMP) if buffer.monotonic else None, count)
        for kind, slots in self._slots.items():
            channels = [raw.get(f"in_{kind}_{axis}") for axis in AXES]
            if kind not in conversions or any(channel is None for channel in channels):
                self.counts[f"{kind}_not_in_buffer"] += count
                continue
            physical = conversions[kind].physical(np.stack(channels, axis=1))  # type: ignore[arg-type]
            turned = physical @ self._rotation.T * FACTORS[kind]
            emit(
                SampleBlock(
                    np.tile(np.array(slots, np.int32), count), np.repeat(stamps, len(AXES)), turned.ravel()
                )
            )
            self.counts["samples_emitted"] += turned.size
            if kind == "accel":
                self._witness(turned, int(stamps[-1]), emit)

    def _stamps(self, given: NDArray[np.int64] | None, count: int) -> NDArray[np.int64]:
        """int64[count], ascending."""
        now_ns, period_ns = self._clock.mono_ns(), round(1e9 / self._section.rate_hz)
        if given is None or np.abs(given - now_ns).max() > STAMP_SLACK_NS or (np.diff(given) < 0).any():
            self.counts["stamps_replaced"] += count
            given = now_ns - period_ns * np.arange(count - 1, -1, -1, dtype=np.int64)
        elif self._last_ns:
            gaps = np.diff(given, prepend=self._last_ns)
            self.counts["records_missed"] += int(np.maximum(np.round(gaps / period_ns) - 1, 0).sum())
        self._last_ns = int(given[-1])
        return given

    def _witness(self, acceleration: NDArray[np.float64], t_ns: int, emit: Emit) -> None:
        for off_deg in self._gravity.feed(acceleration):
            emit(SampleBlock(np.array([self._error_slot], np.int32), np.array([t_ns]), np.array([off_deg])))
            if off_deg > self._section.gravity_deg_max:
                if not self.counts["gravity_off"]:
                    _log.error("gravity is not where the mounting says", source=self.name, degrees=round(off_deg, 1),
                               fix="set mounting_deg to how the sensor sits in the van")  # fmt: skip
                self.counts["gravity_off"] += 1

    def _doubts(self) -> list[str]:
        """What `vantel-edge check` says: a device that is missing, gravity in the wrong place."""
        try:
            folder = find_device(self._section.root, self._section.device)
            if "accel" not in kinds_of(folder) or "accel" not in self._slots:
                return []
            raw = [int(read_text(folder / f"in_accel_{axis}_raw")) for axis in AXES]
            physical = Conversion.of(folder, "accel").physical(np.array([raw]))[0]
        except (OSError, ValueError) as cause:
            return [f"source {self.name}: {cause}; it is waited for"]
        off = tilt_deg((self._rotation @ physical).tolist())
        if off is None or off <= self._section.gravity_deg_max:
            return []
        return [doubt(f"source {self.name}", off, self._section.mounting_deg)]
