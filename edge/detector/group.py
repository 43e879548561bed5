"""Many unnamed signals of one tick: make_group(), with peers."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numba
import numpy as np
from numba import types
from numpy.typing import ArrayLike, NDArray

from edge.detector.channels import VALUE_MAX
from edge.detector.errors import DetectorStateError
from edge.detector.layout import (
    FUSED,
    HABITS,
    LEVELS_OWN,
    MEMORY,
    NOISE_DOWN,
    OFF,
    OUTS,
    SCALES,
    STUCK,
    VALUE,
)
from edge.detector.sets import BLAMED, MEMBERS_MAX, SET_COLUMNS, SET_TABLE, evaluate, take
from edge.detector.stream import RECORD_SAMPLES, STEP_MAX, evidence, scales, worth
from edge.detector.tail import TABLE
from vantel.kernel import kernel

_OFF_OF_SETS = float(sum(1 << channel for channel in (NOISE_DOWN, STUCK)))
_MAGIC = b"VDG8"
_HEAD = struct.Struct("<4sII")
_I, _F = numba.int64, numba.float64
_READ_1 = types.Array(types.float64, 1, "C", readonly=True)
_READ_2 = types.Array(types.float64, 2, "C", readonly=True)
_SIZES = types.Array(types.int32, 1, "C", readonly=True)


class Sets:
    """Which signals belong together, as tables for the kernels, and the state of the relations."""

    def __init__(self, n: int, sets: Sequence[Sequence[int]]) -> None:
        """ValueError for a set that is no 2 to 8 different signals of 0..n-1."""
        for members in sets:
            if not 2 <= len(set(members)) == len(members) <= MEMBERS_MAX or not all(
                0 <= m < n for m in members
            ):
                raise ValueError(
                    f"peers {list(members)}: give 2 to {MEMBERS_MAX} different signals of 0..{n - 1}"
                )
        self.members = np.full((len(sets), MEMBERS_MAX), -1, np.int32)
        self.sizes = np.array([len(members) for members in sets], np.int32)
        for k, members in enumerate(sets):
            self.members[k, : len(members)] = members
        sizes = self.sizes.astype(np.int64) + 2
        self.rows = (n + np.cumsum(sizes) - sizes).astype(np.int32)
        """First row of each set among the rows of the detector: residuals of its members, T², Q."""
        self.row_count = n + int(sizes.sum())
        self.scale = np.tile([0.0, STEP_MAX], (self.row_count, 1))
        """OFF and STEP of each row. What a set as a whole leaves is no signal: that there is little of it is no fault, and it is skewed, so
        that noise of one member is a few large steps."""
        for row, size in zip(self.rows.tolist(), self.sizes.tolist(), strict=True):
            self.scale[row + size : row + size + 2] = _OFF_OF_SETS, 2.0 * STEP_MAX
        self.state = np.zeros((len(sets), SET_COLUMNS))


@kernel(
    numba.void(
        TABLE, TABLE, TABLE, SET_TABLE, _SIZES, _SIZES, _READ_1, _READ_2, TABLE, TABLE
    ))  # fmt: skip
def _ticks(levels, scale, state, members, sizes, rows, t_s, values, out, scores):  # type: ignore[no-untyped-def]
    """Judge ticks of n signals: values float64[ticks, n] -> scores float64[ticks, n]."""
    n = values.shape[1]
    fade = math.exp(-1.0 / (RECORD_SAMPLES * scale[0, MEMORY])) if scale.shape[0] > 0 else 0.0
    for i in range(values.shape[0]):
        for s in range(n):
            scores[i, s] = evidence(levels, s, t_s[i], values[i, s], scale, out)
        for k in range(sizes.shape[0]):
            complete = False
            for j in range(sizes[k]):
                x = values[i, members[k, j]]
                if not np.isnan(x):
                    complete = (
                        take(state, members, k, members[k, j], min(max(x, -VALUE_MAX), VALUE_MAX)) or complete
                    )
            if not complete:
                continue
            row = rows[k]
            evaluate(state, k, sizes[k], row, levels, 0, t_s[i], scale, out)
            for j in range(sizes[k]):
                s = members[k, j]
                scores[i, s] = max(scores[i, s], out[row + j, FUSED])
            s = members[k, _I(state[k, BLAMED])]
            scores[i, s] = max(scores[i, s], out[row + sizes[k], FUSED], out[row + sizes[k] + 1, FUSED])
        for s in range(n):
            x = worth(levels, s, scores[i, s], out[s, VALUE], fade)
            scores[i, s] = x / (1.0 + x)


class Group:
    """Detector of n signals sampled together. Not thread-safe; results do not depend on how ticks are cut into blocks."""

    def __init__(
        self, n: int, *, peers: Sequence[Sequence[int]] | None = None, rate_hz: float | None = None
    ) -> None:
        if peers is None:
            peers = [range(n)] if 2 <= n <= MEMBERS_MAX else []
        self._n = n
        self._sets = Sets(n, peers)
        rows = self._sets.row_count
        self._scale = np.zeros((rows, SCALES))
        self._scale[:, MEMORY : MEMORY + 2] = scales(rate_hz)
        self._scale[:, OFF : OFF + 2] = self._sets.scale
        self._scale[:, HABITS] = 1.0
        self._levels = np.zeros((rows, LEVELS_OWN))
        self._out = np.zeros((rows, OUTS))

    def update(self, t_s: float, values: ArrayLike) -> NDArray[np.float64]:
        """Scores float64[n] of one tick, 0 <= score < 1; NaN where a signal has no sample, which is odd only where it is new."""
        return self.update_many([t_s], np.asarray(values, np.float64).reshape(1, -1)).ravel()

    def update_many(self, t_s: ArrayLike, values: ArrayLike) -> NDArray[np.float64]:
        """Scores float64[ticks, n] of values float64[ticks, n]. ValueError when the shapes do not fit."""
        stamps = np.ascontiguousarray(t_s, np.float64).ravel()
        table = np.ascontiguousarray(values, np.float64)
        if table.shape != (len(stamps), self._n):
            raise ValueError(
                f"update_many: values {table.shape} for {len(stamps)} times of {self._n} signals"
            )
        scores = np.empty(table.shape)
        self._judge(stamps, table, scores)
        return scores

    def state(self) -> bytes:
        """Everything learned so far."""
        head = _HEAD.pack(_MAGIC, self._n, self._sets.row_count)
        return head + b"".join(array.tobytes() for array in (self._levels, self._sets.state))

    def restore(self, data: bytes) -> None:
        """Take over what state() of a group of the same shape gave. DetectorStateError leaves all as it was."""
        arrays = (self._levels, self._sets.state)
        head = _HEAD.pack(_MAGIC, self._n, self._sets.row_count)
        if data[: len(head)] != head or len(data) != len(head) + sum(array.nbytes for array in arrays):
            raise DetectorStateError(
                "restore detector state: it is of another group or version; starting afresh"
            )
        offset = len(head)
        for array in arrays:
            array[...] = np.frombuffer(data, array.dtype, array.size, offset).reshape(array.shape)
            offset += array.nbytes

    def _judge(
        self, t_s: NDArray[np.float64], values: NDArray[np.float64], scores: NDArray[np.float64]
    ) -> None:
        sets = self._sets
        _ticks(
            self._levels, self._scale, sets.state, sets.members, sets.sizes, sets.rows, t_s, values,
            self._out, scores,
        )  # fmt: skip


def make_group(
    n: int, *, peers: Sequence[Sequence[int]] | None = None, rate_hz: float | None = None
) -> Group:
    """A detector of n signals sampled together. peers: sets of 2 to 8 signals that show one quantity or move together;
    None: all of them, when they are 2 to 8, else none. rate_hz as in make_stream."""
    return Group(n, peers=peers, rate_hz=rate_hz)
