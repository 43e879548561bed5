"""Model cells and ids of codec format 1 (docs/format.md, section 7.3): which cell belongs to what.

Headers have trees of binary cells, whole numbers have rows of symbols. Changing a number here changes the format.
"""

from __future__ import annotations

VALUES, TIMES, ADJUST, BITS = 0, 1, 2, 3
"""Regions of whole numbers: values, time stamps, last-place corrections, and truth values or codes of texts."""
REGIONS = 4

MODE = 0
NARROW = MODE + 8
EXPONENT = NARROW + 4
PREDICTOR = EXPONENT + 32
START = PREDICTOR + REGIONS * 16
FLAGS = START + REGIONS * 64
PLAIN = FLAGS + 4
BASE = FLAGS + 8
STEP = BASE + REGIONS * 64
FACTOR = STEP + REGIONS * 64
GAP = FACTOR + 64
COUNT = GAP + 64
KIND = COUNT + 64
NEWER = KIND + 16
CELLS = NEWER + 1

ENERGIES = 22
RUN = ENERGIES
REGION_ROWS = ENERGIES + 1
"""Rows of symbols of a region: the class of a residual by energy, and the length of a run of zeros."""
LEVELS = REGIONS * REGION_ROWS
LEVEL_ROWS = 17
ROWS = LEVELS + LEVEL_ROWS
SEEN = 16 * ROWS
"""Behind the rows: how many symbols each has seen."""
MODELS = CELLS + (SEEN + ROWS + 1) // 2
"""int32 of all models; the rows are int16."""

WORDS, DECIMAL, SCALED, DYADIC, CORRECTED, STEPPED, PARTED, AFFINE = range(8)
"""How floats become integers."""

MEAN, LAST, LINEAR, HALF_LINEAR, MEAN_2, MEAN_4, LEVEL, LEVEL_STEP = range(8)
"""Predictors; LEVEL and LEVEL_STEP code an index into the distinct values or differences."""
HIGHER, ORDER_MAX = 5, 7
"""Predictor HIGHER + k leaves differences of order k, 3 to ORDER_MAX."""
LAST_WIDE, LINEAR_WIDE = 13, 14
"""LAST and LINEAR with energies of numbers of up to 58 bits, not 40."""
DRIFT = 15
"""LAST, and the mean difference on top: what only rises then leaves residuals of both signs."""
LEVELS_MAX = 256
LEVELS_PAIRED_MAX = 16
"""Up to so many levels the one before chooses the models."""

P_MULTIPLIER, P_POWER, P_OFFSET, P_SPECIALS, P_ZEROS_NEGATIVE, P_CORRECTED, P_PRINTED = range(7)
"""Places in the array of parameters that the search for a mode fills: which number stands where."""
PARAMETERS = 8
