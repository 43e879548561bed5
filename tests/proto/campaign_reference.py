"""A second, slow evaluator of conditions: from the whole history of samples, a tick at a time, straight from the words.

Independent of the compiled one: a recursive walk over the tree, windows as lists, no state but what history holds.
"""

from __future__ import annotations

import math

from vantel.campaign.grammar import Node
from vantel.campaign.kernel import IDLE_TICKS

Sample = tuple[str, int, float]


def ticks_of(samples: list[Sample], tick_ns: int) -> list[int]:
    """The ticks that are evaluated: every one with a sample, every tenth after the last evaluated one in between."""
    with_samples = sorted({t // tick_ns for _, t, _ in samples})
    ticks, last, newest = [], with_samples[0] - 1, with_samples[-1]
    for tick in with_samples:
        while last + IDLE_TICKS < tick:
            last += IDLE_TICKS
            ticks.append(last)
        if tick < newest:
            ticks.append(tick)
            last = tick
    return ticks


class Reference:
    """value(node, tick) of a stream of samples (name, t ns, value) in order of time."""

    def __init__(self, samples: list[Sample], tick_ns: int) -> None:
        self.samples, self.tick_ns = samples, tick_ns
        self.ticks = ticks_of(samples, tick_ns)
        self.first_ns = samples[0][1] // tick_ns * tick_ns
        self._memo: dict[tuple[int, int], float] = {}

    def value(self, node: Node, at: int) -> float:
        """Value at ticks[at]; NaN for unknown, truth as 1.0 and 0.0."""
        key = (id(node), at)
        if key not in self._memo:
            self._memo[key] = self._value(node, at)
        return self._memo[key]

    def _in_tick(self, name: str, tick: int) -> list[tuple[int, float]]:
        return [(t, v) for n, t, v in self.samples if n == name and t // self.tick_ns == tick]

    def _fresh(self, node: Node, at: int) -> bool:
        if node.op == "missing":
            return False
        if node.op == "signal":
            return bool(self._in_tick(node.text, self.ticks[at]))
        return any(self._fresh(arg, at) for arg in node.args)

    def _value(self, node: Node, at: int) -> float:
        tick = self.ticks[at]
        if node.op in ("number", "boolean"):
            return node.value
        if node.op == "signal":
            before = [v for n, t, v in self.samples if n == node.text and t // self.tick_ns <= tick]
            return before[-1] if before else math.nan
        if node.op == "missing":
            seen = [t for n, t, _ in self.samples if n == node.args[0].text and t // self.tick_ns <= tick]
            age_ns = (tick + 1) * self.tick_ns - (seen[-1] if seen else self.first_ns)
            return float(age_ns > round(node.value * 1e9 / self.tick_ns) * self.tick_ns)
        if node.op in ("min", "max", "mean", "rate"):
            return self._window(node, at)
        if node.op == "held":
            return self._held(node, at)
        if node.op in ("rising", "falling", "changed"):
            return self._edge(node, at)
        values = [self.value(arg, at) for arg in node.args]
        return _plain(node.op, values)

    def _window(self, node: Node, at: int) -> float:
        inner, width = node.args[0], max(1, round(node.value * 1e9 / self.tick_ns))
        found: list[tuple[float, float]] = []
        lasts: list[tuple[float, float]] = []
        for k in range(at + 1):
            tick = self.ticks[k]
            if tick <= self.ticks[at] - width or not self._fresh(inner, k):
                continue
            if inner.op == "signal":
                inside = [(t * 1e-9, v) for t, v in self._in_tick(inner.text, tick) if math.isfinite(v)]
            else:
                x = self.value(inner, k)
                inside = [((tick + 1) * self.tick_ns * 1e-9, x)] if math.isfinite(x) else []
            found += inside
            if inside:
                lasts.append(inside[-1])
        if not found:
            return math.nan
        values = [v for _, v in found]
        if node.op == "rate":
            span_s = lasts[-1][0] - lasts[0][0]
            return (lasts[-1][1] - lasts[0][1]) / span_s if len(lasts) > 1 and span_s > 0 else math.nan
        return {"min": min(values), "max": max(values), "mean": math.fsum(values) / len(values)}[node.op]

    def _held(self, node: Node, at: int) -> float:
        if self.value(node.args[0], at) != 1.0:
            return self.value(node.args[0], at)
        since = at
        while since > 0 and self.value(node.args[0], since - 1) == 1.0:
            since -= 1
        held = self.ticks[at] - self.ticks[since]
        return float(held >= max(1, round(node.value * 1e9 / self.tick_ns)))

    def _edge(self, node: Node, at: int) -> float:
        now = self.value(node.args[0], at)
        before = next(
            (v for k in range(at - 1, -1, -1) if not math.isnan(v := self.value(node.args[0], k))), math.nan
        )
        if math.isnan(now) or math.isnan(before) or now == before:
            return 0.0
        return float(node.op == "changed" or (node.op == "rising") == (now == 1.0))


def _plain(op: str, values: list[float]) -> float:
    a = values[0]
    if op == "negative":
        return -a
    if op == "abs":
        return abs(a)
    if op == "not":
        return 1.0 - a
    b = values[1]
    if op == "and":
        return 0.0 if 0.0 in (a, b) else math.nan if math.isnan(a + b) else 1.0
    if op == "or":
        return 1.0 if 1.0 in (a, b) else math.nan if math.isnan(a + b) else 0.0
    if op in "+-*/":
        return {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else math.nan}[op]
    if math.isnan(a) or math.isnan(b):
        return math.nan
    return float({"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b, "==": a == b, "!=": a != b}[op])
