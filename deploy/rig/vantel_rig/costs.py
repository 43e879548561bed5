"""What each signal of a drive costs on the wire: bytes, bits a sample, share. By the batcher and codec of the van.

A message shares stamps, ids and models between its signals. Its bytes are divided by what each column would cost alone,
with its part of the stamps; so the sum over the signals is what is really sent (payloads; sealing and the clock stamp
add about 80 bytes a message).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.batcher import ClosedBatch
from edge.model import SampleBlock
from edge.pipeline import Pipeline
from edge.settings import RecordingSection
from vantel import codec
from vantel.columns import Column
from vantel_rig.offline import drive, replaying

DAY_S = 86_400.0


@dataclass(slots=True)
class Cost:
    """Of one signal."""

    samples: int = 0
    bytes: float = 0.0


@dataclass(slots=True)
class Costs:
    """Of a drive. signals by name; seconds of the recording."""

    signals: dict[str, Cost] = field(default_factory=dict)
    messages: int = 0
    start_ns: int = 0
    end_ns: int = 0

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return max(1e-9, (self.end_ns - self.start_ns) / 1e9)

    @property
    def bytes(self) -> int:
        """All payloads."""
        return round(sum(cost.bytes for cost in self.signals.values()))

    def as_dict(self, budget_bytes_per_day: float | None) -> dict[str, object]:
        """For programs; the dearest signal first. A day is the recording's length made one day long."""
        days = DAY_S / self.seconds
        whole = budget_bytes_per_day or self.bytes * days or 1.0
        return {
            "seconds": round(self.seconds, 3),
            "messages": self.messages,
            "bytes": self.bytes,
            "bytes_a_day": round(self.bytes * days),
            "budget_bytes_a_day": budget_bytes_per_day,
            "signals": {
                name: {
                    "samples": cost.samples,
                    "bytes": round(cost.bytes, 1),
                    "bits_a_sample": round(8 * cost.bytes / max(cost.samples, 1), 3),
                    "bytes_a_day": round(cost.bytes * days),
                    "share_of_day": round(cost.bytes * days / whole, 5),
                }
                for name, cost in sorted(self.signals.items(), key=lambda item: -item[1].bytes)
            },
        }


def costs_of(recordings: Sequence[RecordingSection], fidelity: str, window_s: float) -> Costs:
    """Cost of every signal of the recordings. fidelity and window_s as in the settings section [batch]."""
    done = Costs()
    batch = {"fidelity": fidelity, "window_s": window_s}
    with replaying(recordings, batch=batch) as (source, catalog, rows, texts, settings):
        pipeline = Pipeline(catalog, settings, texts, 0, 0)
        names = {signal.id: signal.name for signal in catalog.signals}

        def note(block: SampleBlock) -> None:
            done.start_ns = done.start_ns or int(block.t_mono_ns[0])
            done.end_ns = int(block.t_mono_ns[-1])

        def take(out: Sequence[object]) -> None:
            for item in out:
                if isinstance(item, ClosedBatch) and item.columns:
                    payloads = pipeline.encode(item)
                    done.messages += len(payloads)
                    _divide(done, item.columns, sum(len(sent.payload) for sent in payloads), names)

        drive(source, rows, pipeline, note, take)
    return done


def _divide(done: Costs, columns: Sequence[Column], size: int, names: dict[int, str]) -> None:
    vectors: dict[bytes, list[int]] = {}
    weights = []
    for at, column in enumerate(columns):
        weights.append(
            float(len(codec.encode([Column(1, column.t_ns[:0], column.values[:0])])) + _alone(column))
        )
        vectors.setdefault(column.t_ns.tobytes(), []).append(at)
    for members in vectors.values():
        stamps = len(codec.encode_times(columns[members[0]].t_ns)) / len(members)
        for at in members:
            weights[at] += stamps
    total = sum(weights)
    for column, weight in zip(columns, weights, strict=True):
        cost = done.signals.setdefault(names[column.signal_id], Cost())
        cost.samples += len(column.t_ns)
        cost.bytes += size * weight / total


def _alone(column: Column) -> int:
    """Bytes of the values without stamps; texts go with one vector of stamps that costs little."""
    if column.values.dtype.kind in "OU":
        return len(codec.encode([Column(1, np.arange(len(column.t_ns)), column.values)]))
    return len(codec.encode_values(column.values))
