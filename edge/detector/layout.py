"""Where each number of a signal's state lives: one float64 row and one uint8 row a signal, saved as they are.

A row of levels holds what is of the moment (fast means, the run, the open token), then, for each operating mode, the slow
baseline and one tail a channel. Everything a signal has learned is in these two rows: LEVELS * 8 + COUNTS bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

(
    JUMP, VALUE, SHIFT_SHORT, SHIFT_LONG, NOISE_UP, NOISE_DOWN, STUCK, BEYOND, DRIFT, SEQUENCE, FUSED,
) = range(11)  # fmt: skip
CHANNELS = (
    "jump", "value", "shift_short", "shift_long", "noise_up", "noise_down", "stuck", "beyond", "drift", "sequence",
)  # fmt: skip
"""Names of the channels of one signal, in the order of their numbers; FUSED is all of them together."""

MODES = 3
"""Operating modes with a baseline of their own: 0 driving (and every stream without modes), 1 parked, 2 charging."""

(
    PREV, PREV2, T_PREV, INTERVAL, MEAN_8, MEAN_32, MEAN_64, MEAN_512, ROUGH, RUN, CUSUM_UP, CUSUM_DOWN,
    TOKEN_SUM, TOKEN_N, CONTEXT, SURPRISE, RECORD, SEEN, SLOW,
) = range(19)  # fmt: skip
"""Columns of the moment. T_PREV and INTERVAL in seconds; SEEN counts finite samples."""

N, LEVEL, SPREAD, ERROR_LAST, ERROR_LINE, ERROR_MEAN, LOWEST, HIGHEST = range(8)
"""Columns of the slow baseline of a mode, from SLOW + mode * SLOW_COLUMNS."""
SLOW_COLUMNS = 8

BAR, RATE, CLUSTERS, EXCESS, EXCESS_2, PEAK, AGE = range(7)
"""Columns of one tail, from TAILS + (mode * TAIL_CHANNELS + channel) * TAIL_COLUMNS."""
TAIL_COLUMNS = 7
TAIL_CHANNELS = 11
TAILS = SLOW + MODES * SLOW_COLUMNS
LEVELS = TAILS + MODES * TAIL_CHANNELS * TAIL_COLUMNS

MEMORY, STRIDE, MAY_REST, OFF = range(4)
"""Columns of the scale of a row: samples of the slow baseline, samples of a token, 1 where a smooth signal may stand
still without being odd (a van parks; a series of unknown origin does not), bits of channels that do not count."""
SCALES = 4

SYMBOLS = 8
CONTEXTS_3 = 128
"""Hashed contexts of order 3; orders 0 to 2 have all of theirs (1, 8, 64)."""
COUNTS = (1 + SYMBOLS + SYMBOLS**2 + CONTEXTS_3) * SYMBOLS

STATE_BYTES = LEVELS * 8 + COUNTS

_SEEN_MIN = 32  # more than edge.detector.channels asks for to call a gap a pause
_LONG_AGO_S = -1e9


def begin_anew(levels: NDArray[np.float64]) -> None:
    """Stamps have begun anew: in float64[rows, LEVELS] the next sample of each row follows a pause.

    Rows that have seen too little to know a pause from their interval are cleared.
    """
    levels[levels[:, SEEN] <= _SEEN_MIN] = 0.0
    levels[levels[:, SEEN] > 0.0, T_PREV] = _LONG_AGO_S
    levels[:, [CUSUM_UP, CUSUM_DOWN, TOKEN_SUM, TOKEN_N]] = 0.0
