"""Conditions compiled: trees of all campaigns and the catalog -> one table of operations. Pure.

Equal parts of all conditions are one row, so that a signal, a window or a comparison is computed once. Operands stand
before their operation. CampaignError (type, unknown_signal, window, too_many) has the place of the mistake.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vantel.campaign import kernel
from vantel.campaign.grammar import ORDERS, WINDOWED, Node, parse
from vantel.campaign.limits import PROGRAM_NODES_MAX, WINDOW_BYTES_MAX, CampaignError
from vantel.catalog import Catalog, CatalogError, Signal, SignalType

MODE_SIGNAL = "Vehicle.Robovan.Drive.Mode"
ENTRY_BYTES = 24
CHANNEL_CHARS_MAX = 32


class Op(enum.IntEnum):
    """Operations of the kernel."""

    CONST = kernel.CONST
    SIGNAL = kernel.SIGNAL
    EVENT = kernel.EVENT
    NEGATIVE = kernel.NEGATIVE
    ABS = kernel.ABS
    ADD = kernel.ADD
    SUBTRACT = kernel.SUBTRACT
    MULTIPLY = kernel.MULTIPLY
    DIVIDE = kernel.DIVIDE
    LESS = kernel.LESS
    LESS_EQUAL = kernel.LESS_EQUAL
    GREATER = kernel.GREATER
    GREATER_EQUAL = kernel.GREATER_EQUAL
    EQUAL = kernel.EQUAL
    NOT_EQUAL = kernel.NOT_EQUAL
    NOT = kernel.NOT
    AND = kernel.AND
    OR = kernel.OR
    MIN = kernel.MIN
    MAX = kernel.MAX
    MEAN = kernel.MEAN
    RATE = kernel.RATE
    RISING = kernel.RISING
    FALLING = kernel.FALLING
    CHANGED = kernel.CHANGED
    HELD = kernel.HELD
    MISSING = kernel.MISSING


_ARITHMETIC = {"+": Op.ADD, "-": Op.SUBTRACT, "*": Op.MULTIPLY, "/": Op.DIVIDE}
_ORDERS = dict(
    zip(ORDERS, (Op.LESS, Op.LESS_EQUAL, Op.GREATER, Op.GREATER_EQUAL, Op.EQUAL, Op.NOT_EQUAL), strict=True)
)
_WINDOWS = dict(zip(WINDOWED, (Op.MIN, Op.MAX, Op.MEAN, Op.RATE), strict=True))
_EDGES = {"rising": Op.RISING, "falling": Op.FALLING}
_Row = tuple[Op, int, int, float]


@dataclass(frozen=True, slots=True)
class Program:
    """rows: int32[n, 3] (Op, operand, operand); constant: float64[n]; windows: int64[n, 2] (first entry, entries).

    roots: row of each condition. signals: catalog row of each input; events: (channel or "", signal id or 0) of the
    inputs that follow them. tick_ns: conditions are evaluated at multiples of it.
    """

    rows: NDArray[np.int32]
    constant: NDArray[np.float64]
    windows: NDArray[np.int64]
    roots: NDArray[np.int32]
    signals: tuple[int, ...]
    events: tuple[tuple[str, int], ...]
    tick_ns: int

    @property
    def window_bytes(self) -> int:
        """Memory of its windows."""
        return int(self.windows[:, 1].sum()) * ENTRY_BYTES


class Compiler:
    """Takes one condition after the other; a bad one leaves what was there as it was."""

    def __init__(self, catalog: Catalog, tick_ns: int) -> None:
        self._catalog, self._tick_ns = catalog, tick_ns
        self._row_of = {signal.id: at for at, signal in enumerate(catalog.signals)}
        self._rows: dict[_Row, int] = {}
        self._roots: list[int] = []
        self._signals: dict[int, int] = {}
        self._events: dict[tuple[str, int], int] = {}
        self._window_entries = 0

    def add(self, condition: str) -> int:
        """Compile a condition ("" is always true); its number. CampaignError when it is none."""
        before = dict(self._rows), dict(self._signals), dict(self._events), self._window_entries
        try:
            kind, row = (
                self._compile(parse(condition))
                if condition.strip()
                else ("boolean", self._row(Op.CONST, c=1.0))
            )
            if kind != "boolean":
                raise CampaignError("type", "a condition must be true or false, this is a number", 0)
            if len(self._rows) > PROGRAM_NODES_MAX:
                raise CampaignError(
                    "too_many", f"all conditions together need more than {PROGRAM_NODES_MAX} operations", 0
                )
            if self._window_entries * ENTRY_BYTES > WINDOW_BYTES_MAX:
                detail = f"the windows of all conditions need more than {WINDOW_BYTES_MAX >> 20} MiB"
                raise CampaignError("window", detail, 0)
        except CampaignError:
            self._rows, self._signals, self._events, self._window_entries = before
            raise
        self._roots.append(row)
        return len(self._roots) - 1

    def program(self) -> Program:
        """All conditions so far."""
        table = list(self._rows)
        first, windows = 0, np.zeros((len(table), 2), np.int64)
        for at, (op, _, _, ticks) in enumerate(table):
            if op in _WINDOWS.values():
                windows[at] = first, int(ticks) + 2
                first += int(ticks) + 2
        inputs = len(self._signals)
        rows = [(op, a + inputs if op is Op.EVENT else a, b) for op, a, b, _ in table]
        return Program(
            np.array(rows, np.int32).reshape(len(table), 3), np.array([row[3] for row in table], np.float64), windows,
            np.array(self._roots, np.int32), tuple(self._signals), tuple(self._events), self._tick_ns,
        )  # fmt: skip

    def _row(self, op: Op, a: int = 0, b: int = 0, c: float = 0.0) -> int:
        key = (op, a, b, c)
        if key not in self._rows:
            if op in _WINDOWS.values():
                self._window_entries += int(c) + 2
            self._rows[key] = len(self._rows)
        return self._rows[key]

    def _compile(self, node: Node) -> tuple[str, int]:
        """(type, row); the type is number or boolean."""
        op = node.op
        if op in ("number", "boolean"):
            return op, self._row(Op.CONST, c=node.value)
        if op == "label":
            raise CampaignError(
                "type", "a label stands only beside == or != and a signal that has labels", node.at
            )
        if op == "signal":
            return self._signal(node)
        if op == "event":
            return "boolean", self._event(node)
        if op == "mode":
            return "boolean", self._labelled("==", Node("signal", node.at, text=MODE_SIGNAL), node, node.at)
        if op in ("and", "or"):
            a, b = (self._typed(arg, "boolean") for arg in node.args)
            return "boolean", self._row(Op.AND if op == "and" else Op.OR, a, b)
        if op == "not":
            return "boolean", self._row(Op.NOT, self._typed(node.args[0], "boolean"))
        if op in _ORDERS:
            return "boolean", self._order(node)
        if op in _ARITHMETIC:
            a, b = (self._typed(arg, "number") for arg in node.args)
            return "number", self._row(_ARITHMETIC[op], a, b)
        return self._function(node)

    def _function(self, node: Node) -> tuple[str, int]:
        op, inner = node.op, node.args[0]
        ticks = max(1.0, float(round(node.value * 1e9 / self._tick_ns)))
        if op in _EDGES:
            return "boolean", self._row(_EDGES[op], self._typed(inner, "boolean"))
        if op == "held":
            return "boolean", self._row(Op.HELD, self._typed(inner, "boolean"), c=ticks)
        if op == "missing":
            if inner.op != "signal":
                raise CampaignError("type", "missing wants the name of a signal", inner.at)
            return "boolean", self._row(Op.MISSING, self._input(self._find(inner)), c=ticks)
        if op == "changed":
            plain = self._input_row(self._find(inner)) if inner.op == "signal" else self._compile(inner)[1]
            return "boolean", self._row(Op.CHANGED, plain)
        value = self._typed(inner, "number")
        if op in _WINDOWS:
            return "number", self._row(_WINDOWS[op], value, c=ticks)
        return "number", self._row(Op.ABS if op == "abs" else Op.NEGATIVE, value)

    def _typed(self, node: Node, wanted: str) -> int:
        kind, row = self._compile(node)
        if kind != wanted:
            shown = "a number" if wanted == "number" else "true or false"
            raise CampaignError("type", f"this must be {shown}", node.at)
        return row

    def _order(self, node: Node) -> int:
        left, right = node.args
        if "label" in (left.op, right.op):
            signal, label = (left, right) if right.op == "label" else (right, left)
            return self._labelled(node.op, signal, label, node.at)
        (kind, a), (other, b) = self._compile(left), self._compile(right)
        if kind != other:
            raise CampaignError("type", f"{kind} and {other} cannot be compared", node.at)
        if kind == "boolean" and node.op not in ("==", "!="):
            raise CampaignError("type", f"true and false have no order: {node.op}", node.at)
        return self._row(_ORDERS[node.op], a, b)

    def _labelled(self, order: str, signal: Node, label: Node, at: int) -> int:
        if signal.op != "signal" or order not in ("==", "!="):
            raise CampaignError("type", "a label is compared by == or != with a signal that has labels", at)
        found = self._find(signal)
        if label.text not in found.labels:
            known = ", ".join(found.labels[:12]) or "no labels"
            raise CampaignError("type", f"{found.name} has {known}, not {label.text!r}", label.at)
        code = self._row(Op.CONST, c=float(found.labels.index(label.text)))
        return self._row(_ORDERS[order], self._input_row(found), code)

    def _signal(self, node: Node) -> tuple[str, int]:
        signal = self._find(node)
        if signal.type is SignalType.ENUM:
            raise CampaignError("type", f"{signal.name} has labels: compare it, as in == 'LABEL'", node.at)
        return ("boolean" if signal.type is SignalType.BOOL else "number"), self._input_row(signal)

    def _find(self, node: Node) -> Signal:
        try:
            signal = self._catalog.by_name(node.text)
        except CatalogError as cause:
            raise CampaignError("unknown_signal", str(cause), node.at) from None
        if signal.type is SignalType.STRING:
            raise CampaignError(
                "type", f"{signal.name} is a text; conditions know numbers, states and labels", node.at
            )
        return signal

    def _input(self, signal: Signal) -> int:
        return self._signals.setdefault(self._row_of[signal.id], len(self._signals))

    def _input_row(self, signal: Signal) -> int:
        return self._row(Op.SIGNAL, self._input(signal))

    def _event(self, node: Node) -> int:
        if len(node.text) > CHANNEL_CHARS_MAX:
            raise CampaignError("type", f"no channel has {len(node.text)} characters", node.at)
        signal_id = self._find(node.args[0]).id if node.args else 0
        return self._row(Op.EVENT, self._events.setdefault((node.text, signal_id), len(self._events)))


def compile_conditions(conditions: Sequence[str], catalog: Catalog, tick_ns: int) -> Program:
    """One program of all conditions."""
    compiler = Compiler(catalog, tick_ns)
    for condition in conditions:
        compiler.add(condition)
    return compiler.program()
