"""A recording of an inertial sensor, turned by its mounting into van axes: any reader whose signals are mapped to them.

Chunks of another recording in, the same chunks out with acceleration and turn rates in van axes. Three samples of one time are
one vector; where an axis is missing the others are left out and counted (axes_incomplete). Gravity tells whether the mounting is
right, as for the live source. RecordingError when a mapped vector has fewer than three axes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edge.settings import RecordingSection
from edge.sources.chunks import Chunk, Recording
from edge.sources.errors import RecordingError
from edge.sources.imu_mounting import VECTORS, GravityCheck, doubt, rotation

Rows = NDArray[np.int64]


class MountedRecording:
    """A recording whose sensor sits in the van as mounting_deg says."""

    def __init__(self, recording: Recording, section: RecordingSection) -> None:
        self._recording = recording
        self.path, self.counts, self.slots = recording.path, recording.counts, recording.slots
        self._mounting_deg = section.mounting_deg
        self._gravity_deg_max = section.gravity_deg_max
        self._rotation = rotation(*section.mounting_deg)
        self._off_deg: list[float] = []

    @property
    def notes(self) -> list[str]:
        """Notes of the reader; after a whole pass also gravity in the wrong place."""
        told = list(getattr(self._recording, "notes", ()))
        off_deg = median(self._off_deg) if self._off_deg else 0.0
        if off_deg > self._gravity_deg_max:
            told.append(doubt(str(self.path), off_deg, self._mounting_deg))
        return told

    def chunks(self) -> Iterator[Chunk]:
        """See Recording."""
        gravity, incomplete = GravityCheck(), 0
        self._off_deg = []
        for chunk in self._recording.chunks():
            value, keep = chunk.value.copy(), np.ones(len(chunk.slot), np.bool_)
            for kind, slots in self._vectors().items():
                axes = [np.flatnonzero(chunk.slot == slot) for slot in slots]
                whole = _of_one_time(axes, chunk.t_ns)
                turned = np.stack([chunk.value[rows] for rows in whole], axis=1) @ self._rotation.T
                for rows, column in zip(whole, turned.T, strict=True):
                    value[rows] = column
                alone = np.setdiff1d(np.concatenate(axes), np.concatenate(whole))
                keep[alone] = False
                incomplete += len(alone)
                if kind == "accel":
                    self._off_deg += gravity.feed(turned)
            yield Chunk(chunk.slot[keep], chunk.t_ns[keep], value[keep])
        self.counts["axes_incomplete"] = incomplete

    def finish(self) -> None:
        """See Recording."""
        self._recording.finish()
        names = {signal.name for signal in self.slots.signals}
        for vector in VECTORS.values():
            absent = [name for name in vector if name not in names]
            if len(absent) in (1, 2):
                raise RecordingError(
                    self.path, f"mounting_deg: {absent[0]} is missing, a turned vector needs all three axes",
                    "map it, or leave mounting_deg out",
                )  # fmt: skip
        if not self._vectors():
            raise RecordingError(
                self.path, "mounting_deg: no signal of it is mapped to Vehicle.Acceleration or Vehicle.AngularVelocity",
                "map the axes, or leave mounting_deg out",
            )  # fmt: skip

    def _vectors(self) -> dict[str, list[int]]:
        """Slots of the vectors that are whole, of the signals met so far."""
        slot_of = {signal.name: slot for slot, signal in enumerate(self.slots.signals)}
        return {
            kind: [slot_of[name] for name in names]
            for kind, names in VECTORS.items()
            if all(name in slot_of for name in names)
        }


def _of_one_time(axes: list[Rows], t_ns: NDArray[np.int64]) -> list[Rows]:
    """Rows of the samples whose time all axes have, in the same order for each axis."""
    times = [t_ns[rows] for rows in axes]
    if all(np.array_equal(times[0], other) for other in times[1:]):
        return axes  # also where a coarse clock gives one stamp twice
    common = reduce(np.intersect1d, times)
    return [
        rows[np.unique(stamps, return_index=True)[1]][np.isin(np.unique(stamps), common)]
        for rows, stamps in zip(axes, times, strict=True)
    ]
