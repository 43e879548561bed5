"""Where each number of a signal's state lives: one float64 row a signal, saved as it is.

A row of levels holds what is of the moment (fast means, the run, the open token), then the last tokens, then, for each
operating mode, the slow baseline and one tail a channel. A row of the library has one mode, and behind it what only the
library knows of a signal. Everything a signal has learned is in its row: LEVELS * 8 bytes in a van, STATE_BYTES in the library.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

(
    JUMP, VALUE, SHIFT, NOISE_UP, NOISE_DOWN, STUCK, BEYOND, DRIFT, SHAPE, FUSED, LOUDEST, OUTS,
) = range(12)  # fmt: skip
CHANNELS = (
    "jump", "value", "shift", "noise_up", "noise_down", "stuck", "beyond", "drift", "shape",
)  # fmt: skip
"""Names of the channels of one signal, in the order of their numbers. FUSED is all of them together, set against the signal's own
past: a rank of every sample. LOUDEST is what the loudest alone is worth, or FUSED if that is more: what a budget is held
against. OUTS columns has what judge() gives."""

MODES = 3
"""Operating modes with a baseline of their own: 0 driving (and every stream without modes), 1 parked, 2 charging."""

(
    PREV, PREV2, T_PREV, INTERVAL, MEAN_8, MEAN_64, ROUGH, RUN, CUSUM_UP, CUSUM_DOWN,
    TOKEN_SUM, TOKEN_N, TOKENS, ODDNESS, RECORD, AWAY, LASTING, SEEN, PAST,
) = range(19)  # fmt: skip
"""Columns of the moment. T_PREV and INTERVAL in seconds; SEEN counts finite samples, TOKENS complete tokens;
ODDNESS is -log10 p of the shape as of the last token. RECORD, AWAY and LASTING are what a score remembers of the evidence
before (edge.detector.stream)."""

N, LEVEL, SPREAD, ERROR_LAST, ERROR_LINE, ERROR_MEAN, LOWEST, HIGHEST = range(8)
"""Columns of the slow baseline of a mode, from SLOW + mode * MODE_COLUMNS."""
SLOW_COLUMNS = 8

TAIL_CHANNELS = 10
BAR, RATE, PEAK, CLUSTERS, EXCESS, EXCESS_2, AGE, LASTS = range(0, 8 * TAIL_CHANNELS, TAIL_CHANNELS)
"""Offsets of one tail, from TAILS + mode * MODE_COLUMNS + channel: what is read at every sample lies close together.
AGE is samples above the bar in the open cluster, LASTS its mean over the closed ones."""
PAST_TOKENS = 128
"""The last tokens stand from PAST on, the oldest first."""
SLOW = PAST + PAST_TOKENS
TAILS = SLOW + SLOW_COLUMNS
MODE_COLUMNS = SLOW_COLUMNS + 8 * TAIL_CHANNELS
LEVELS = SLOW + MODES * MODE_COLUMNS

(
    ARRIVED, NAN_SHARE, NAN_SUM, LAG, ERROR_CYCLE, PERIOD, CHANGE, SWEEP, SWEEP_PERIOD, LEAST, OFTEN,
) = range(SLOW + MODE_COLUMNS, SLOW + MODE_COLUMNS + 11)  # fmt: skip
RING = OFTEN + SHAPE
"""Only in rows of the library, in the place of the second mode: samples with NaN among them and what is known of these
(edge.detector.missing), of the trend (how far LEVEL lags behind it), of the cycle (edge.detector.cycle), of each channel of
how many samples it told that they are one in a hundred or rarer, and the last samples, the oldest first."""
RING_SAMPLES = 92
LEVELS_OWN = RING + RING_SAMPLES

MEMORY, STRIDE, MAY_REST, OFF, STEP, HABITS = range(6)
"""Columns of the scale of a row: samples of the slow baseline, samples of a token, 1 where a smooth signal may stand
still without being odd (a van parks; a series of unknown origin does not), bits of channels that do not count, spreads at
which a step of the CUSUM is cut, 1 where a trend or a cycle that goes on is ordinary (a series of unknown origin; a van
goes as its road goes, and what drifts there is a fault). Rows with habits have LEVELS_OWN columns and one mode."""
SCALES = 6

STATE_BYTES = LEVELS_OWN * 8

_SEEN_MIN = 32  # more than edge.detector.channels asks for to call a gap a pause
_LONG_AGO_S = -1e9


def begin_anew(levels: NDArray[np.float64]) -> None:
    """Stamps have begun anew: in float64[rows, LEVELS] the next sample of each row follows a pause.

    Rows that have seen too little to know a pause from their interval are cleared.
    """
    levels[levels[:, SEEN] <= _SEEN_MIN] = 0.0
    levels[levels[:, SEEN] > 0.0, T_PREV] = _LONG_AGO_S
    levels[:, [CUSUM_UP, CUSUM_DOWN, TOKEN_SUM, TOKEN_N, ODDNESS]] = 0.0
