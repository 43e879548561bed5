"""Signals that know of one another: each against its peers, and the set as a whole.

A set has 2 to 8 members, signals that show one quantity (four wheels, the cells of a pack) or move together. It is
evaluated when every member has a new sample, so at the rate of the slowest. Each member has a row of its own for its
residual against the median of the others, after gain and offset, which are learned from all of the past and not while
something is odd; two more rows take T² and Q of a principal component model with two components, followed online
(Sanger, 1989; Jackson and Mudholkar, 1979 for T² and Q). Rows are judged like any signal (edge.detector.channels).
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from edge.detector.channels import judge
from edge.detector.layout import FUSED
from edge.detector.tail import TABLE
from vantel.kernel import kernel

MEMBERS_MAX = 8
COUNT, ODD, POWER_1, POWER_2, BLAMED, HEAD = range(6)
"""Columns of a set: evaluations, the largest evidence of the last one, variances of both components, the member that
stands out in T² and Q."""
FRESH, VALUE, SIZE, SHARE, OTHERS, COV, VAR, MEAN, POWER, AXIS_1, AXIS_2, Z, MEMBER_COLUMNS = range(13)
"""Columns of a member, from HEAD + member * MEMBER_COLUMNS. SHARE is value / SIZE, OTHERS the mean of the others' median."""
SORTED = HEAD + MEMBERS_MAX * MEMBER_COLUMNS
SET_COLUMNS = SORTED + MEMBERS_MAX

_MEMORY = 100_000.0
_RIDGE = 1e-4  # of the mean size: a quantity that hardly moves gives no gain, it stays 1
_ODD = 3.0  # evidence above which nothing is learned of the relation
_YOUNG = 32.0
_Z_MAX = 1e6
_RATE = 2.0  # of Sanger's rule, of the share of a sample: axes must not follow the last excursion of a slow quantity
_RATE_MAX = 0.02

_I, _F = numba.int64, numba.float64
SET_TABLE = types.Array(types.int32, 2, "C", readonly=True)


@kernel(_F(TABLE, _I, _I, _I))
def _median_of_others(state, k, size, member):  # type: ignore[no-untyped-def]
    """Median of value / SIZE of all members but one, by insertion into the scratch columns of the set."""
    n = 0
    for j in range(size):
        if j == member:
            continue
        at = HEAD + j * MEMBER_COLUMNS
        x = state[k, at + VALUE] / state[k, at + SIZE]
        place = n
        while place > 0 and state[k, SORTED + place - 1] > x:
            state[k, SORTED + place] = state[k, SORTED + place - 1]
            place -= 1
        state[k, SORTED + place] = x
        n += 1
    upper = state[k, SORTED + n // 2]
    return upper if n % 2 == 1 else 0.5 * (upper + state[k, SORTED + n // 2 - 1])


@kernel(_F(TABLE, _I, _I, _I, _F))
def _residual(state, k, size, member, share):  # type: ignore[no-untyped-def]
    """Residual of a member against its others, in its own unit; learns gain and offset with weight share."""
    at = HEAD + member * MEMBER_COLUMNS
    others = _median_of_others(state, k, size, member)
    mine = state[k, at + VALUE] / state[k, at + SIZE]
    gain = (state[k, at + COV] + _RIDGE) / (state[k, at + VAR] + _RIDGE)
    dx, dy = others - state[k, at + OTHERS], mine - state[k, at + SHARE]
    residual = (dy - gain * dx) * state[k, at + SIZE]
    state[k, at + OTHERS] += share * dx
    state[k, at + SHARE] += share * dy
    state[k, at + COV] += share * (dx * dy - state[k, at + COV])
    state[k, at + VAR] += share * (dx * dx - state[k, at + VAR])
    return residual


@kernel(_F(TABLE, _I, _I, _F, _I))
def _component(state, k, size, share, axis):  # type: ignore[no-untyped-def]
    """Project Z on one axis, follow the axis, take the projection out of Z; returns its share of T²."""
    power = POWER_1 if axis == AXIS_1 else POWER_2
    y = 0.0
    for j in range(size):
        y += state[k, HEAD + j * MEMBER_COLUMNS + axis] * state[k, HEAD + j * MEMBER_COLUMNS + Z]
    part = 0.0 if state[k, power] <= 0.0 else y * y / state[k, power]
    state[k, power] += share * (y * y - state[k, power])
    step = min(_RATE_MAX, _RATE * share) * y / (1.0 + y * y)
    length = 0.0
    for j in range(size):
        at = HEAD + j * MEMBER_COLUMNS
        state[k, at + Z] -= y * state[k, at + axis]
        state[k, at + axis] += step * state[k, at + Z]
        length += state[k, at + axis] * state[k, at + axis]
    length = math.sqrt(length)
    for j in range(size):
        state[k, HEAD + j * MEMBER_COLUMNS + axis] /= length
    return part


@kernel(_F(TABLE, _I, _I, _F))
def _standardise(state, k, size, share):  # type: ignore[no-untyped-def]
    """Fill Z; returns the sum of squares. The first call sets the axes."""
    total = 0.0
    for j in range(size):
        at = HEAD + j * MEMBER_COLUMNS
        if state[k, COUNT] == 0.0:
            state[k, at + AXIS_1] = 1.0 / math.sqrt(size)
            state[k, at + AXIS_2] = (1.0 if j % 2 == 0 else -1.0) / math.sqrt(size)
        d = state[k, at + VALUE] - state[k, at + MEAN]
        sd = math.sqrt(state[k, at + POWER])
        z = min(max(d / sd, -_Z_MAX), _Z_MAX) if sd > 0.0 else 0.0
        state[k, at + MEAN] += share * d
        state[k, at + POWER] += share * (d * d - state[k, at + POWER])
        state[k, at + Z] = z
        total += z * z
    return total


@kernel(_F(TABLE, _I, _I))
def _remainder(state, k, size):  # type: ignore[no-untyped-def]
    """Q: the square of what both components leave; names the member with most of it."""
    q, most, blamed = 0.0, -1.0, 0
    for j in range(size):
        z = state[k, HEAD + j * MEMBER_COLUMNS + Z]
        q += z * z
        if z * z > most:
            most, blamed = z * z, j
    state[k, BLAMED] = blamed
    return q


@kernel(_F(TABLE, _I, _I, _I, TABLE, _I, _F, TABLE, TABLE))
def evaluate(state, k, size, row, levels, mode, t_s, scale, out):  # type: ignore[no-untyped-def]
    """Judge rows row .. row + size + 1 of set k: residuals of the members, then T², then Q; returns the largest evidence.

    state float64[sets, SET_COLUMNS]; the rest as edge.detector.channels.judge has it.
    """
    n = state[k, COUNT]
    share = 1.0 / min(n + 1.0, _MEMORY) if state[k, ODD] < _ODD else 0.0
    for j in range(size):
        at = HEAD + j * MEMBER_COLUMNS
        state[k, at + SIZE] += share * (abs(state[k, at + VALUE]) - state[k, at + SIZE])
        if state[k, at + SIZE] <= 0.0:
            state[k, at + SIZE] = 1e-12
    odd = 0.0
    for j in range(size):
        residual = _residual(state, k, size, j, share)
        if n >= _YOUNG:
            judge(levels, row + j, mode, True, t_s, residual, scale, out)
            odd = max(odd, out[row + j, FUSED])
    _standardise(state, k, size, share)
    t2 = _component(state, k, size, share, AXIS_1) + _component(state, k, size, share, AXIS_2)
    q = _remainder(state, k, size)
    if n >= _YOUNG:
        judge(levels, row + size, mode, True, t_s, math.log1p(t2), scale, out)
        judge(levels, row + size + 1, mode, True, t_s, math.log1p(q), scale, out)
        odd = max(odd, out[row + size, FUSED], out[row + size + 1, FUSED])
    state[k, COUNT] = n + 1.0
    state[k, ODD] = odd
    return odd


@kernel(numba.boolean(TABLE, SET_TABLE, _I, _I, _F))
def take(state, members, k, slot, value):  # type: ignore[no-untyped-def]
    """Note a sample of a signal in set k (members int32[sets, MEMBERS_MAX], -1 where none); True when all are new."""
    complete = True
    for j in range(MEMBERS_MAX):
        if members[k, j] < 0:
            break
        at = HEAD + j * MEMBER_COLUMNS
        if members[k, j] == slot:
            state[k, at + VALUE] = value
            state[k, at + FRESH] = 1.0
        if state[k, at + FRESH] == 0.0:
            complete = False
    if complete:
        for j in range(MEMBERS_MAX):
            state[k, HEAD + j * MEMBER_COLUMNS + FRESH] = 0.0
    return complete


def forget_pending(state: NDArray[np.float64]) -> None:
    """Samples that wait for those of the other members, in float64[sets, SET_COLUMNS], wait no longer."""
    members = state[:, HEAD:SORTED].reshape(len(state), MEMBERS_MAX, MEMBER_COLUMNS)
    members[:, :, FRESH] = 0.0
