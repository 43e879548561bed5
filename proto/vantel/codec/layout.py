"""Model cells and ids of codec format 1 (docs/format.md, section 7.3): which cell belongs to what.

A residual region has RESIDUAL_CELLS cells; headers have trees. Changing a number here changes the format.
"""

from __future__ import annotations

STEPS = 16
ENERGIES = 22
ZERO_RUN = ENERGIES * STEPS
RESIDUAL_CELLS = ZERO_RUN + 4

VALUES, TIMES, ADJUST, BITS = 0, 1, 2, 3
"""Residual regions: values, time stamps, last-place corrections, and truth values or codes of texts."""
REGIONS = 4

TREE = REGIONS * RESIDUAL_CELLS
MODE = TREE
NARROW = MODE + 8
EXPONENT = NARROW + 4
PREDICTOR = EXPONENT + 32
START = PREDICTOR + REGIONS * 16
FLAGS = START + REGIONS * 64
BASE = FLAGS + 8
STEP = BASE + REGIONS * 64
FACTOR = STEP + REGIONS * 64
GAP = FACTOR + 64
COUNT = GAP + 64
KIND = COUNT + 64
NEWER = KIND + 16
LEVELS = NEWER + 1
LEVEL_CELLS = 512
CELLS = LEVELS + LEVEL_CELLS

WORDS, DECIMAL, SCALED, DYADIC, CORRECTED, STEPPED = range(6)
"""How floats become integers."""

MEAN, LAST, LINEAR, HALF_LINEAR, MEAN_2, MEAN_4, LEVEL, LEVEL_STEP = range(8)
"""Predictors; LEVEL and LEVEL_STEP code an index into the distinct values or differences."""
LEVELS_MAX = 256
LEVELS_PAIRED_MAX = 16
"""Up to so many levels the one before chooses the models."""

P_MULTIPLIER, P_POWER, P_OFFSET, P_SPECIALS, P_ZEROS_NEGATIVE, P_STEP, P_CORRECTED, P_PRINTED = range(8)
"""Places in the array of parameters that the search for a mode fills: which number stands where."""
PARAMETERS = 8
