"""One unnamed signal: make_stream() for whoever has a series of numbers and wants to know which of them are odd."""

from __future__ import annotations

import math
import struct

import numba
import numpy as np
from numba import types
from numpy.typing import ArrayLike, NDArray

from edge.detector.channels import judge
from edge.detector.errors import DetectorStateError
from edge.detector.layout import (
    ARRIVED,
    AWAY,
    FUSED,
    LASTING,
    LEVELS_OWN,
    MEMORY,
    NAN_SHARE,
    NAN_SUM,
    OUTS,
    RECORD,
    VALUE,
)
from edge.detector.missing import learn_missing
from edge.detector.tail import ORDINARY, SCORE_MAX, TABLE
from vantel.kernel import kernel

_MAGIC = b"VDS9"
_HEAD = struct.Struct("<4sdd")
_BASELINE_S = 60.0
_MEMORY_MIN, _MEMORY_MAX = 1000.0, 10_000.0
_TOKEN_S = 0.5
_TOKEN_SAMPLES = 8.0
RECORD_SAMPLES = 0.1
"""Of the memory: how long evidence already reported counts against more of the same."""
_MORE_OF_THE_SAME = 0.3
_LASTING = 0.3
_LASTING_SAMPLES = 16.0
_STILL_ODD = 1.0  # one sample in ten: what was reported does not fade while so much is left of it
_LN10 = math.log(10.0)
_AWAY = 3.0  # evidence of a level that makes its return no news
STEP_MAX = 1.5
"""Spreads at which a step of the CUSUM is cut: it is there for what lasts, others see what is large."""

_I, _F = numba.int64, numba.float64
_READ = types.Array(types.float64, 1, "C", readonly=True)


def scales(rate_hz: float | None) -> tuple[float, float]:
    """(samples of the slow baseline, samples of a token) for a rate; None: counted in samples alone."""
    if rate_hz is None or not (0.0 < rate_hz < math.inf):
        return _MEMORY_MIN, _TOKEN_SAMPLES
    memory = min(max(_BASELINE_S * rate_hz, _MEMORY_MIN), _MEMORY_MAX)
    return memory, max(_TOKEN_SAMPLES, float(round(_TOKEN_S * rate_hz)))


@kernel(_F(TABLE, _I, _F, _F, TABLE, TABLE))
def evidence(levels, s, t_s, value, scale, out):  # type: ignore[no-untyped-def]
    """-log10 p of one sample in the mode of the library: of a number what its channels show, of a NaN that it is missing."""
    missing = math.isnan(value)
    levels[s, ARRIVED] += 1.0
    if missing or levels[s, NAN_SHARE] > 0.0:
        levels[s, NAN_SHARE], levels[s, NAN_SUM] = learn_missing(
            missing, levels[s, ARRIVED], levels[s, NAN_SHARE], levels[s, NAN_SUM], SCORE_MAX * _LN10
        )
    judge(levels, s, 0, True, t_s, value, scale, out)
    return levels[s, NAN_SUM] / _LN10 if missing else out[s, FUSED]


@kernel(_F(TABLE, _I, _F, _F, _F))
def worth(levels, s, x, level, fade):  # type: ignore[no-untyped-def]
    """What evidence x is worth after what was reported before. level is that of the channel VALUE in x.

    More of the same counts less, and so does the return of an odd level to the usual one: one incident, not two. What is a
    little odd, though, is less ordinary when it lasts.
    """
    record, away = levels[s, RECORD] * (fade if x < _STILL_ODD else 1.0), levels[s, AWAY] * fade
    levels[s, RECORD] = max(record, x)
    levels[s, AWAY] = max(away, level)
    before = levels[s, LASTING]
    levels[s, LASTING] = before + (min(x, ORDINARY) - before) / _LASTING_SAMPLES
    if x > ORDINARY and (x < record or (level == 0.0 and away > _AWAY)):
        x = ORDINARY + _MORE_OF_THE_SAME * (x - ORDINARY)
    return x + _LASTING * before


@kernel(numba.void(TABLE, TABLE, _READ, _READ, TABLE, _F[::1]))
def _run(levels, scale, t_s, values, out, scores):  # type: ignore[no-untyped-def]
    """Judge a block of one signal; scores float64[n] in 0..1."""
    fade = math.exp(-1.0 / (RECORD_SAMPLES * scale[0, MEMORY]))
    for i in range(values.shape[0]):
        x = evidence(levels, 0, t_s[i], values[i], scale, out)
        x = worth(levels, 0, x, out[0, VALUE], fade)
        scores[i] = x / (1.0 + x)


class Stream:
    """Detector of one signal. Not thread-safe; the same samples give the same scores to the bit, one by one or in blocks."""

    def __init__(self, rate_hz: float | None = None) -> None:
        self._scale = np.array([[*scales(rate_hz), 0.0, 0.0, STEP_MAX, 1.0]])
        self._levels = np.zeros((1, LEVELS_OWN))
        self._out = np.zeros((1, OUTS))
        self._one = np.zeros((3, 1))

    def update(self, t_s: float, value: float) -> float:
        """Score of one sample: x/(1+x) with x = -log10 p, 0 <= score < 1. Seconds on any clock; a NaN scores that it is missing."""
        self._one[0, 0] = t_s
        self._one[1, 0] = value
        self._judge(self._one[0], self._one[1], self._one[2])
        return float(self._one[2, 0])

    def update_many(self, t_s: ArrayLike, values: ArrayLike) -> NDArray[np.float64]:
        """Scores float64[n] of samples in order. ValueError when the lengths differ."""
        stamps = np.ascontiguousarray(t_s, np.float64).ravel()
        numbers = np.ascontiguousarray(values, np.float64).ravel()
        if len(stamps) != len(numbers):
            raise ValueError(f"update_many: {len(stamps)} times for {len(numbers)} values")
        scores = np.empty(len(numbers))
        self._judge(stamps, numbers, scores)
        return scores

    def state(self) -> bytes:
        """Everything learned so far, STATE_BYTES and a head."""
        return _HEAD.pack(_MAGIC, *self._scale[0, :2]) + self._levels.astype("<f8").tobytes()

    def restore(self, data: bytes) -> None:
        """Take over what state() of a stream of the same rate gave. DetectorStateError leaves all as it was."""
        head = _HEAD.pack(_MAGIC, *self._scale[0, :2])
        if data[: len(head)] != head or len(data) != len(head) + self._levels.nbytes:
            raise DetectorStateError(
                "restore detector state: it is of another rate or version; starting afresh"
            )
        self._levels[0] = np.frombuffer(data, "<f8", LEVELS_OWN, len(head))

    def _judge(
        self, t_s: NDArray[np.float64], values: NDArray[np.float64], scores: NDArray[np.float64]
    ) -> None:
        _run(self._levels, self._scale, t_s, values, self._out, scores)


def make_stream(rate_hz: float | None = None) -> Stream:
    """A detector of one signal that knows nothing of it. rate_hz sets the time scales; None: they are samples."""
    return Stream(rate_hz)
