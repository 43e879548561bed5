"""Which signals of a catalog show one quantity: declared in the settings or the builtin catalog, or named alike.

Four wheels, the tyres, the cells of a pack differ in their names only by the place: FL, Row1, Left, Cell12. Signals of
one unit and one source whose names are equal but for such words are peers without being declared.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from edge.detector.sets import MEMBERS_MAX
from vantel.catalog import Catalog, SignalType, builtin_peers

_PLACE = re.compile(r"(?<![a-z])(fl|fr|rl|rr|left|right|front|rear|row[0-9]+)(?![a-z])", re.IGNORECASE)
_CELL = re.compile(r"(?<=cell)[_.]?[0-9]+|(?<=cellvoltage)[_.]?[0-9]+", re.IGNORECASE)
_MEASURED = re.compile(r"speed|pressure|voltage|temp", re.IGNORECASE)
_STATE = re.compile(r"fault|valid|status|error|warning", re.IGNORECASE)
_NUMBERS = {SignalType.FLOAT64, SignalType.FLOAT32, SignalType.INT64, SignalType.UINT64}


def named_alike(catalog: Catalog) -> list[list[int]]:
    """Sets of slots whose names differ only by a place; at most MEMBERS_MAX each, larger families in parts."""
    families: dict[tuple[str, str], list[int]] = defaultdict(list)
    for slot, signal in enumerate(catalog.signals):
        family = _CELL.sub("*", _PLACE.sub("*", signal.name.replace("_", ".")))
        if signal.type not in _NUMBERS or _STATE.search(signal.name):
            continue
        if "*" in family and _MEASURED.search(signal.name):
            families[family.lower(), signal.unit].append(slot)
    sets = []
    for slots in families.values():
        parts = -(-len(slots) // MEMBERS_MAX)
        sets += [slots[part::parts] for part in range(parts)]
    return [members for members in sets if len(members) >= 3]


def declared(catalog: Catalog, peers: Sequence[Sequence[str]]) -> list[list[int]]:
    """Sets of slots: those of the settings, as far as this van has two of them, then those of the builtin catalog, then
    those named alike.

    A signal of the settings is taken out of no other set; a set that lies within one of the settings is not added.
    """
    slots = {signal.name.lower(): slot for slot, signal in enumerate(catalog.signals)}
    sets: list[list[int]] = []
    for names in (*peers, *builtin_peers()):
        members = [slots[name.lower()] for name in names if name.lower() in slots]
        if len(members) >= 2 and not any(set(members) <= set(other) for other in sets):
            sets.append(members)
    known = {tuple(sorted(members)) for members in sets}
    return sets + [members for members in named_alike(catalog) if tuple(members) not in known]
