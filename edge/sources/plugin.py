"""Sources of other packages, found by the entry point group `vantel.sources`.

An entry point is a callable (PluginContext) -> Source (edge.model). What it emits is checked before it reaches the pipeline:
a block that is wrong in shape, slot or order ends the source with PluginError, and the agent starts it again with a
bound; the pipeline and the other sources never see it. A plug-in runs in the agent's process: what must not be able to
take the agent down or block it belongs on the socket (docs/own-signals.md).
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

import numpy as np

from edge.clock import VanClock
from edge.model import Emit, SampleBlock, Source, TextTable
from edge.settings.sources import PluginSource as PluginSection
from vantel.catalog import Signal

GROUP = "vantel.sources"
FUTURE_NS_MAX = 1_000_000_000


class PluginError(ValueError):
    """A plug-in that cannot be loaded, or that emits what is no block of samples."""


@dataclass(frozen=True, slots=True)
class PluginContext:
    """What a plug-in is made from. options: of the settings. clock: stamps. code_of: text to the value of a string signal."""

    name: str
    options: Mapping[str, Any]
    clock: VanClock
    code_of: Callable[[str], int]


class PluginSource:
    """One [[sources]] of kind plugin: the source of the entry point, with its blocks checked."""

    replayed = False

    def __init__(self, settings: PluginSection, clock: VanClock, texts: TextTable) -> None:
        self.name = settings.name
        self._clock = clock
        factory = find(settings.entry_point)
        try:
            self._source: Source = factory(PluginContext(settings.name, settings.options, clock, texts.code))
            self._signals = tuple(self._source.signals())
        except Exception as cause:  # it is not our code: whatever it raises, the settings are told
            raise PluginError(f"source {settings.name}: plug-in {settings.entry_point}: {cause!r}") from cause
        self.simulated = bool(getattr(self._source, "simulated", False))

    @property
    def counters(self) -> dict[str, int]:
        """Those of the plug-in."""
        return dict(getattr(self._source, "counters", {}))

    def signals(self) -> Sequence[Signal]:
        """Signals of the plug-in."""
        return self._signals

    def run(self, emit: Emit, stop: threading.Event) -> None:
        """Run it; PluginError for a block that is none."""
        count = len(self._signals)
        self._source.run(lambda block: emit(checked(block, count, self._clock.mono_ns())), stop)


def find(name: str) -> Callable[[PluginContext], Source]:
    """The entry point's callable; PluginError, naming those installed, when there is none or it cannot be imported."""
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in found:
        near = difflib.get_close_matches(name, found, n=1)
        installed = ", ".join(sorted(found)) or "none"
        hint = f"; did you mean {near[0]}?" if near else f"; installed: {installed}"
        raise PluginError(f"no entry point {name!r} in group {GROUP}{hint}")
    try:
        loaded: Callable[[PluginContext], Source] = found[name].load()
    except Exception as cause:  # importing other people's code
        raise PluginError(f"entry point {name} ({found[name].value}): {cause!r}") from cause
    return loaded


def checked(block: SampleBlock, signals: int, now_ns: int) -> SampleBlock:
    """The block with the types of SampleBlock; PluginError when it is none, or lies in the future."""
    try:
        slot = np.ascontiguousarray(block.slot, np.int32)
        t_ns = np.ascontiguousarray(block.t_mono_ns, np.int64)
        value = np.ascontiguousarray(block.value, np.float64)
        quality = None if block.quality is None else np.ascontiguousarray(block.quality, np.uint8)
    except (AttributeError, TypeError, ValueError) as cause:
        raise PluginError(f"no block of samples: {cause}") from None
    if not slot.ndim == 1 or not slot.shape == t_ns.shape == value.shape:
        raise PluginError(
            f"slots, times and values have the shapes {slot.shape}, {t_ns.shape}, {value.shape}"
        )
    if quality is not None and quality.shape != slot.shape:
        raise PluginError(f"quality has the shape {quality.shape}, slots {slot.shape}")
    if len(slot) and not 0 <= int(slot.min()) <= int(slot.max()) < signals:
        raise PluginError(f"slots {slot.min()} to {slot.max()} of {signals} signals")
    if (t_ns[1:] < t_ns[:-1]).any():
        raise PluginError("times descend within a block")
    if len(t_ns) and int(t_ns[-1]) > now_ns + FUTURE_NS_MAX:
        raise PluginError(f"a time lies {(int(t_ns[-1]) - now_ns) / 1e9:.1f} s in the future")
    return SampleBlock(slot, t_ns, value, quality)
