"""Symbols of 16 kinds under adaptive rows (docs/format.md, section 7.2): one step of the coder for a class or a level.

A row is 16 numbers that rise from 0: the share, of 32,768, of all symbols below each. All 16 move at once toward the
symbol that was seen, in one vector of the processor, so a symbol costs little more than a bit does. The blend of whole
distributions is that of AV1's symbol coder (Mukherjee et al. 2013 to Chen et al. 2018).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from vantel.codec import layout as at
from vantel.codec.coder import COUNT_MAX, INLINED, INNER, MERGED, RATES, quotient, renew_get, renew_put

SYMBOLS = 16
SHARE_BITS = 15
SHARE_MIN = 4
"""No symbol's share falls below this, so that all can be coded."""
START_SEEN, LEVEL_SEEN = 10, 2
"""How many symbols a row behaves as if it had seen when it begins."""
# fmt: off
START_ROWS = np.array(
    [
        [0, 119, 28971, 31201, 31335, 31455, 31574, 31694, 31813, 31932, 32052, 32171, 32290, 32410, 32529, 32649],
        [0, 29525, 32252, 32623, 32642, 32652, 32663, 32673, 32684, 32694, 32705, 32715, 32726, 32736, 32747, 32757],
        [0, 27843, 31762, 32591, 32642, 32652, 32663, 32673, 32684, 32694, 32705, 32715, 32726, 32736, 32747, 32757],
        [0, 26381, 31183, 32523, 32641, 32652, 32663, 32673, 32684, 32694, 32705, 32715, 32726, 32736, 32747, 32757],
        [0, 24503, 30243, 32353, 32635, 32652, 32663, 32673, 32684, 32694, 32705, 32715, 32726, 32736, 32747, 32757],
        [0, 22438, 28970, 32016, 32613, 32652, 32663, 32673, 32684, 32694, 32705, 32715, 32726, 32736, 32747, 32757],
        [0, 19993, 27152, 31346, 32531, 32651, 32663, 32673, 32684, 32694, 32705, 32715, 32726, 32736, 32747, 32757],
        [0, 17527, 24993, 30292, 32318, 32642, 32663, 32673, 32684, 32694, 32705, 32715, 32726, 32736, 32747, 32757],
        [0, 14861, 22302, 28621, 31811, 32594, 32662, 32673, 32684, 32694, 32705, 32715, 32726, 32736, 32747, 32757],
        [0, 12412, 19503, 26488, 30912, 32438, 32658, 32673, 32684, 32694, 32705, 32715, 32726, 32736, 32747, 32757],
        [0, 9996, 16432, 23701, 29364, 32015, 32624, 32673, 32684, 32694, 32705, 32715, 32726, 32736, 32747, 32757],
        [0, 7965, 13603, 20722, 27281, 31203, 32494, 32670, 32684, 32694, 32705, 32715, 32726, 32736, 32747, 32757],
        [0, 6123, 10831, 17406, 24470, 29733, 32112, 32642, 32684, 32694, 32705, 32715, 32726, 32736, 32747, 32757],
        [0, 4690, 8530, 14337, 21406, 27688, 31347, 32525, 32681, 32694, 32705, 32715, 32726, 32736, 32747, 32757],
        [0, 3477, 6477, 11338, 17959, 24874, 29919, 32163, 32656, 32694, 32705, 32715, 32726, 32736, 32747, 32757],
        [0, 2588, 4909, 8866, 14755, 21771, 27897, 31422, 32545, 32692, 32705, 32715, 32726, 32736, 32747, 32757],
        [0, 1873, 3605, 6684, 11624, 18259, 25084, 30017, 32193, 32668, 32705, 32715, 32726, 32736, 32747, 32757],
        [0, 1371, 2665, 5036, 9055, 14982, 21964, 28006, 31464, 32560, 32703, 32715, 32726, 32736, 32747, 32757],
        [0, 979, 1919, 3680, 6800, 11781, 18418, 25194, 30071, 32213, 32680, 32715, 32726, 32736, 32747, 32757],
        [0, 710, 1400, 2711, 5108, 9159, 15105, 22067, 28066, 31490, 32573, 32713, 32726, 32736, 32747, 32757],
        [0, 505, 999, 1948, 3724, 6866, 11867, 18504, 25255, 30103, 32229, 32691, 32726, 32736, 32747, 32757],
        [0, 366, 726, 1421, 2740, 5150, 9218, 15172, 22123, 28101, 31508, 32585, 32724, 32736, 32747, 32757],
        [0, 6537, 11442, 15369, 18642, 21916, 24537, 26506, 28148, 29464, 30127, 30464, 30637, 30713, 30756, 30800],
    ],
    np.int16,
).ravel()
# fmt: on
"""Shares of the rows of a region when a stream begins: docs/format.md, section 7.3, lists them."""
_I16, _I32 = ir.IntType(16), ir.IntType(32)
_LANES, _WIDE = ir.VectorType(_I16, SYMBOLS), ir.VectorType(_I32, SYMBOLS)
_BELOW = ir.Constant(_LANES, [SHARE_MIN * lane for lane in range(SYMBOLS)])
_ABOVE = ir.Constant(_LANES, [(1 << SHARE_BITS) - SHARE_MIN * (SYMBOLS - lane) for lane in range(SYMBOLS)])
_PLACES = ir.Constant(_LANES, list(range(SYMBOLS)))


def _row(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Pointer to the row that begins at a place of an int16 array."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.bitcast(builder.gep(array.data, [arguments[1]]), _LANES.as_pointer())


def _repeated(builder: Any, number: Any, lanes: Any) -> Any:
    """A vector of one int64, narrowed and repeated."""
    nothing = ir.Constant(lanes, ir.Undefined)
    single = builder.insert_element(nothing, builder.trunc(number, lanes.element), ir.Constant(_I32, 0))
    return builder.shuffle_vector(single, nothing, ir.Constant(_WIDE, [0] * SYMBOLS))


@intrinsic
def adapt(_context, rows, _first, _symbol, _rate):
    """Move the row at first by rate of 65,536 of the way toward one in which symbol has all but the least shares."""

    def build(context, builder, signature, arguments):
        pointer = _row(context, builder, signature, arguments)
        held = builder.load(pointer, align=2)
        past = builder.icmp_signed(">", _PLACES, _repeated(builder, arguments[2], _LANES))
        distance = builder.sub(builder.select(past, _ABOVE, _BELOW), held)
        product = builder.mul(builder.sext(distance, _WIDE), _repeated(builder, arguments[3], _WIDE))
        step = builder.trunc(builder.ashr(product, ir.Constant(_WIDE, [16] * SYMBOLS)), _LANES)
        builder.store(builder.add(held, step), pointer, align=2)
        return context.get_dummy_value()

    return types.void(rows, types.int64, types.int64, types.int64), build


@intrinsic
def symbol_at(_context, rows, _first, _share):
    """The symbol of the row at first to which a share, 0 to 32,767, belongs."""

    def build(context, builder, signature, arguments):
        held = builder.load(_row(context, builder, signature, arguments), align=2)
        reached = builder.icmp_signed("<=", held, _repeated(builder, arguments[2], _LANES))
        count = builder.ctpop(builder.bitcast(reached, _I16))
        return builder.sub(builder.zext(count, ir.IntType(64)), ir.Constant(ir.IntType(64), 1))

    return types.int64(rows, types.int64, types.int64), build


@njit(**MERGED)
def rows_of(models):
    """The rows among all models, int16."""
    return models[at.CELLS :].view(np.int16)


@njit(**INLINED)
def learn(rows, row, symbol):
    """Let a row learn a symbol: fast at first, slower the more it has seen."""
    seen = np.int64(rows[at.SEEN + row])
    adapt(rows, row << 4, symbol, RATES[seen])
    rows[at.SEEN + row] = seen + (seen < COUNT_MAX)


@njit(**INLINED)
def put_symbol(low, rng, pos, out, rows, row, symbol):
    """Code a symbol, 0 to 15: low, rng, pos."""
    place = (row << 4) + symbol
    lower = np.int64(rows[place])
    upper = np.int64(1 << SHARE_BITS) if symbol == SYMBOLS - 1 else np.int64(rows[place + 1])
    learn(rows, row, symbol)
    rng >>= SHARE_BITS
    low += rng * lower
    return renew_put(low, rng * (upper - lower), pos, out)


@njit(**INLINED)
def get_symbol(code, rng, pos, data, rows, row):
    """Inverse of put_symbol: symbol, code, rng, pos."""
    rng >>= SHARE_BITS
    symbol = symbol_at(rows, row << 4, min(quotient(code, rng), (1 << SHARE_BITS) - 1))
    place = (row << 4) + symbol
    lower = np.int64(rows[place])
    upper = np.int64(1 << SHARE_BITS) if symbol == SYMBOLS - 1 else np.int64(rows[place + 1])
    learn(rows, row, symbol)
    code, rng, pos = renew_get(code - rng * lower, rng * (upper - lower), pos, data)
    return symbol, code, rng, pos


@njit(**INNER)
def begin_rows(rows):
    """All regions as they are when a stream begins."""
    for region in range(at.REGIONS):
        for i in range(at.REGION_ROWS * SYMBOLS):
            rows[region * at.REGION_ROWS * SYMBOLS + i] = START_ROWS[i]
    rows[at.SEEN : at.SEEN + at.LEVELS] = START_SEEN


@njit(**INNER)
def begin_level_rows(rows, levels):
    """The rows of levels: all that occur are equally likely."""
    for row in range(at.LEVEL_ROWS):
        high = row == at.LEVEL_ROWS - 1
        kinds = levels if levels <= SYMBOLS else ((levels - 1) >> 4) + 1 if high else SYMBOLS
        share = ((1 << SHARE_BITS) - SHARE_MIN * (SYMBOLS - kinds)) // kinds
        for lane in range(SYMBOLS):
            rows[((at.LEVELS + row) << 4) + lane] = (
                share * lane if lane < kinds else (1 << SHARE_BITS) - SHARE_MIN * (SYMBOLS - lane)
            )
    rows[at.SEEN + at.LEVELS : at.SEEN + at.ROWS] = LEVEL_SEEN
