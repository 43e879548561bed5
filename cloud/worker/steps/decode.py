"""Third step: a batch payload to columns that fit their signals. Pure.

Payload bytes -> Batch -> columns; each column is matched with its signal of the catalog. A column of an unknown
signal, of a type that its signal cannot have, or given twice is refused alone, the rest goes on. Times stay monotonic.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloud.worker.outcome import Reject
from vantel.catalog import Catalog, CatalogError, Signal, SignalType
from vantel.codec import CodecError, decode
from vantel.columns import Column
from vantel.envelope import EnvelopeError
from vantel.payloads import Batch

NUMBERS = frozenset({SignalType.FLOAT64, SignalType.FLOAT32, SignalType.INT64, SignalType.UINT64})
_KINDS = {
    **dict.fromkeys(NUMBERS, "fiu"),
    SignalType.BOOL: "b",
    SignalType.ENUM: "iu",
    SignalType.STRING: "OU",
}
"""numpy kinds that a column of a signal type may have."""


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """A batch whose columns fit their signals; refused: what each refused column was, for people."""

    batch: Batch
    columns: list[tuple[Signal, Column]]
    refused: tuple[str, ...]
    samples: int


def decode_batch(payload: bytes, catalog: Catalog) -> DecodedBatch | Reject:
    """Reject when the payload or its columns cannot be read at all."""
    try:
        batch = Batch.decode(payload)
        columns = decode(batch.columns)
    except EnvelopeError as cause:
        return Reject(cause.reason, cause.detail)
    except CodecError as cause:
        return Reject("codec", str(cause))
    good: list[tuple[Signal, Column]] = []
    refused: list[str] = []
    seen: set[int] = set()
    for column in columns:
        try:
            signal = catalog.by_id(column.signal_id)
        except CatalogError as cause:
            refused.append(str(cause))
            continue
        if column.values.dtype.kind not in _KINDS[signal.type]:
            refused.append(f"signal {signal.name} is {signal.type.name}, its column is {column.values.dtype}")
        elif column.signal_id in seen:
            refused.append(f"signal {signal.name} has two columns in one batch")
        else:
            seen.add(column.signal_id)
            good.append((signal, column))
    good.sort(key=lambda item: item[0].id)
    return DecodedBatch(batch, good, tuple(refused), sum(len(column.t_ns) for _, column in good))
