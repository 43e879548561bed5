"""vantel decode: a CAN log to a table of physical values, by the same code that decodes on the van.

RecordingSection -> .parquet, .csv or .mcap; one row a sample in the order of the log, exact Unix time in ns. The file
appears whole or not at all. RecordingError when the log or a DBC cannot be used, DecodeError for what was asked.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from edge.model import TextTable
from edge.settings import RecordingSection
from edge.sources.recordings import open_recording
from vantel.catalog import Signal
from vantel_rig.decoded_files import Rows, writer_for


class DecodeError(ValueError):
    """What was asked cannot be done; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What came of a log. left_out: counts by reason, as the agent counts them."""

    rows: int
    signals: int
    left_out: dict[str, int]


def decode(
    section: RecordingSection,
    out: Path,
    patterns: Sequence[str],
    told: Callable[[int], None] = lambda _: None,
) -> Decoded:
    """Write the samples of a log to out, whose ending names the format. told: bytes of the log that are read so far.

    patterns: names of signals, with * and ?, with or without the channel; none means all.
    """
    writer_class = writer_for(out)
    if writer_class is None:
        raise DecodeError(f"{out}: the ending names no format; write .parquet, .csv or .mcap")
    texts = TextTable()
    recording = open_recording(section, texts)
    unfinished = out.with_name(out.name + ".unfinished")
    rows, seen = 0, np.zeros(0, np.bool_)
    chosen = _Chosen(patterns)
    try:
        with writer_class(unfinished, texts.text) as writer:
            for chunk in recording.chunks():
                signals = recording.slots.signals
                kept = chosen.of(signals)[chunk.slot]
                seen = np.append(seen, np.zeros(len(signals) - len(seen), np.bool_))
                seen[chunk.slot[kept]] = True
                writer.write(Rows(signals, chunk.slot[kept], chunk.t_ns[kept], chunk.value[kept]))
                rows += int(kept.sum())
                told(bytes_read(section.path))
        recording.finish()
        if not rows:
            known = ", ".join(signal.name for signal in recording.slots.signals[:8])
            raise DecodeError(f"no signal of the log fits {' '.join(patterns)}; it has such as {known}")
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
    return Decoded(rows, int(seen.sum()), {k: v for k, v in recording.counts.items() if k != "frames"})


def bytes_read(path: Path) -> int:
    """How far this process has read a file that it holds open; 0 when the system does not tell."""
    try:
        places = [f.position for f in psutil.Process().open_files() if Path(f.path) == path.resolve()]
    except (psutil.Error, OSError, AttributeError):
        return 0
    return max(places, default=0)


class _Chosen:
    """Which signals fit the patterns; a log tells its signals only while it is read."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = patterns
        self._fits: list[bool] = []

    def of(self, signals: Sequence[Signal]) -> NDArray[np.bool_]:
        """bool[signals]."""
        self._fits += [self._fit(signal.name) for signal in signals[len(self._fits) :]]
        return np.array(self._fits, np.bool_)

    def _fit(self, name: str) -> bool:
        names = (name, name.partition(".")[2])
        return not self._patterns or any(fnmatch.fnmatchcase(n, p) for p in self._patterns for n in names)


def databases(given: Sequence[str]) -> list[Path] | dict[str, list[Path]]:
    """--dbc FILE for all channels, or --dbc CHANNEL=FILE; not both kinds at once."""
    split = [one.partition("=") for one in given]
    named = {channel: [Path(p) for c, _, p in split if c == channel] for channel, sign, _ in split if sign}
    if not named:
        return [Path(one) for one in given]
    if not all(sign for _, sign, _ in split):
        raise DecodeError("give every --dbc a channel, or none: --dbc can0=a.dbc --dbc can1=b.dbc")
    return named
