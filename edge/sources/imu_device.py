"""A device of Linux' Industrial I/O: found by name, set up through sysfs, read as whole records from its character device.

Documentation/ABI/testing/sysfs-bus-iio and Documentation/iio/iio_devbuf.rst of the kernel. A buffer that is already enabled is taken as it
is; one that is not is set up: channels, rate, monotonic time stamps, length. OSError with the fix when that is not possible.
"""

from __future__ import annotations

import math
import os
import select
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.sources.imu_layout import TIMESTAMP, Channel, LayoutError, RecordLayout

AXES = ("x", "y", "z")
KINDS = ("accel", "anglvel")
BUFFER_S = 1.0
RECORDS_MAX = 512
TEXT_BYTES_MAX = 256
SCALE_MAX = 1e6


def find_device(root: Path, name: str) -> Path:
    """Folder of the device with this name. OSError, naming those that are there, when there is none."""
    found: dict[str, Path] = {}
    for folder in sorted((root / "sys/bus/iio/devices").glob("iio:device*")):
        try:
            found.setdefault(read_text(folder / "name"), folder)
        except OSError:
            continue
    if name in found:
        return found[name]
    there = ", ".join(sorted(found)) or "none"
    raise OSError(f"no IIO device {name!r}; there are: {there}")


def read_text(path: Path) -> str:
    """Text of a small file. OSError when it cannot be read."""
    with path.open("rb", buffering=0) as file:
        return (file.read(TEXT_BYTES_MAX) or b"").decode("ascii", "replace").strip(" \r\n\0")


@dataclass(frozen=True, slots=True)
class Conversion:
    """Raw values of the three axes to m/s^2 or rad/s: (raw + offset) * scale, float64[3] each."""

    offset: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, folder: Path, kind: str) -> Conversion:
        """What the device tells. OSError for no scale, and for an offset or a scale that is none."""
        offsets = [_attribute(folder, kind, axis, "offset") or 0.0 for axis in AXES]
        scales = [_attribute(folder, kind, axis, "scale") for axis in AXES]
        for axis, scale in zip(AXES, scales, strict=True):
            if scale is None:
                raise OSError(f"{folder} tells no scale of {kind}")
            if not 0.0 < abs(scale) < SCALE_MAX:
                raise OSError(f"{folder}: {scale} is no scale of {kind}, axis {axis}")
        return cls(np.array(offsets), np.array(scales))

    def physical(self, raw: NDArray[np.int64]) -> NDArray[np.float64]:
        """float64[n, 3] of raw values int64[n, 3]."""
        return (raw + self.offset) * self.scale


def _attribute(folder: Path, kind: str, axis: str, what: str) -> float | None:
    """Of the axis or, more often, of all axes; None when the device has none."""
    for name in (f"in_{kind}_{axis}_{what}", f"in_{kind}_{what}"):
        try:
            value = float(read_text(folder / name))
        except FileNotFoundError:
            continue
        except ValueError:
            raise OSError(f"{folder / name} is no number") from None
        if not math.isfinite(value):
            raise OSError(f"{folder / name}: {value} is no {what}")
        return value
    return None


def kinds_of(folder: Path) -> list[str]:
    """Which of accel and anglvel a device has on all three axes."""
    scans = folder / "scan_elements"
    return [kind for kind in KINDS if all((scans / f"in_{kind}_{axis}_en").exists() for axis in AXES)]


class IioBuffer:
    """An enabled buffer."""

    def __init__(self, root: Path, folder: Path, rate_hz: float) -> None:
        self._folder = folder
        if read_text(folder / "buffer/enable") != "1":
            self._set_up(rate_hz)
        try:
            self.layout = RecordLayout(self._enabled())
        except LayoutError as cause:
            raise OSError(f"{folder}: {cause}") from cause
        self.monotonic = self._is_monotonic()
        self._fd = os.open(root / "dev" / folder.name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._rest = b""

    def read(self, timeout_s: float) -> bytes:
        """Whole records; b"" when nothing came in timeout_s. OSError when the device has gone."""
        if not self._poll.poll(timeout_s * 1000.0):
            return b""
        data = os.read(self._fd, RECORDS_MAX * self.layout.bytes_each)
        if not data:
            raise OSError("the buffer was closed")
        data = self._rest + data
        whole = len(data) // self.layout.bytes_each * self.layout.bytes_each
        self._rest = data[whole:]
        return data[:whole]

    def close(self) -> None:
        """The buffer stays enabled: who set it up may still want it."""
        os.close(self._fd)

    def _enabled(self) -> list[Channel]:
        scans = self._folder / "scan_elements"
        channels = []
        for path in scans.glob("in_*_en"):
            name = path.name.removesuffix("_en")
            if read_text(path) == "1":
                try:
                    index = int(read_text(scans / f"{name}_index"))
                except ValueError:
                    raise OSError(f"{scans / name}_index is no number") from None
                channels.append(Channel(name, index, read_text(scans / f"{name}_type")))
        return channels

    def _set_up(self, rate_hz: float) -> None:
        folder = self._folder
        wanted = {f"in_{kind}_{axis}" for kind in kinds_of(folder) for axis in AXES} | {TIMESTAMP}
        try:
            for path in (folder / "scan_elements").glob("in_*_en"):
                _write(path, "1" if path.name.removesuffix("_en") in wanted else "0")
            for name in (
                "sampling_frequency",
                *(f"in_{kind}_sampling_frequency" for kind in kinds_of(folder)),
            ):
                if (folder / name).exists():
                    _write(folder / name, f"{rate_hz:g}")
            if (folder / "current_timestamp_clock").exists():
                _write(folder / "current_timestamp_clock", "monotonic")
            _write(folder / "buffer/length", str(max(2, round(rate_hz * BUFFER_S))))
            _write(folder / "buffer/enable", "1")
        except OSError as cause:
            raise OSError(
                f"cannot set up the buffer of {folder.name}: {cause}; enable it before the agent starts (docs/sources.md, IMU)"
            ) from cause

    def _is_monotonic(self) -> bool:
        try:
            return read_text(self._folder / "current_timestamp_clock") == "monotonic"
        except OSError:
            return False


def _write(path: Path, text: str) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(text.encode("ascii"))
