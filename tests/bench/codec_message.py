"""One second of the reference van as one message, and bounded error: what is not a matter of one batch of one signal.

The reference second: 12 signals at 100 Hz, 18 at 10 Hz, 10 at 1 Hz, 1,390 values; signals of one rate share their stamps,
which have 30 us of timer jitter (seeded). Peers get signal ids, counts and types for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from codec_peers import pcodec, shuffled, zstd
from codec_signals import Signal
from numpy.typing import NDArray

from vantel.codec import decode, decode_values, encode, encode_values
from vantel.columns import Column

RATES = ((12, 100), (18, 10), (10, 1))
"""(signals, Hz)."""
_JITTER_NS = 30_000
_Group = tuple[NDArray[np.int64], list[NDArray[Any]]]


def message_bytes(signals: Sequence[Signal], seconds: int = 20) -> dict[str, float] | None:
    """Mean bytes of a message by codec; None when there are too few signals with stamps."""
    totals = {"vantel": 0, "pcodec": 0, "zstd-19 shuffled": 0}
    chosen = _chosen(signals)
    if chosen is None:
        return None
    rng = np.random.default_rng(6)
    for second in range(seconds):
        groups = [
            _second(members, rate, second, rng) for members, (_, rate) in zip(chosen, RATES, strict=True)
        ]
        columns = [Column(0, stamps, values) for stamps, members in groups for values in members]
        columns = [Column(i + 1, c.t_ns, c.values) for i, c in enumerate(columns)]
        data = encode(columns)
        for before, after in zip(columns, decode(data), strict=True):
            assert before.values.tobytes() == after.values.tobytes() and (before.t_ns == after.t_ns).all()
        totals["vantel"] += len(data)
        totals["pcodec"] += _by_pcodec(groups)
        totals["zstd-19 shuffled"] += _by_zstd(groups)
    return {name: total / seconds for name, total in totals.items()}


def _chosen(signals: Sequence[Signal]) -> list[list[Signal]] | None:
    """Signals by rate: the fastest for 100 Hz, those nearest to 10 Hz, then the slowest; changing ones first."""
    timed = [(_rate(s), s) for s in signals if s.t_ns is not None and len(np.unique(s.values)) > 1]
    if len(timed) < sum(count for count, _ in RATES):
        return None
    by_rate = sorted(timed, key=lambda pair: (abs(np.log10(pair[0] / 100)), pair[1].name))
    fast = by_rate[:12]
    rest = sorted(by_rate[12:], key=lambda pair: (abs(np.log10(pair[0] / 10)), pair[1].name))
    slow = sorted(rest[18:], key=lambda pair: (pair[0], pair[1].name))[:10]
    return [[s for _, s in part] for part in (fast, rest[:18], slow)]


def _rate(signal: Signal) -> float:
    assert signal.t_ns is not None
    span = float(signal.t_ns[-1] - signal.t_ns[0]) / 1e9
    return (len(signal.t_ns) - 1) / span if span > 0 else 1.0


def _second(members: list[Signal], rate: int, second: int, rng: np.random.Generator) -> _Group:
    ideal = 10**12 + second * 10**9 + np.arange(rate) * (10**9 // rate)
    stamps = np.sort(ideal + rng.normal(0, _JITTER_NS, rate).astype(np.int64))
    first = second * rate
    parts = [np.take(s.values, np.arange(first, first + rate), mode="wrap") for s in members]
    return stamps, parts


def _by_pcodec(groups: list[_Group]) -> int:
    """Each signal by itself and stamps once a rate; raw where that is smaller."""
    peer = pcodec()
    arrays = [array for stamps, members in groups for array in (stamps, *members)]
    return sum(min(array.nbytes, peer.size(peer.encode(array))) for array in arrays)


def _by_zstd(groups: list[_Group]) -> int:
    """All columns with shuffled bytes one after the other, stamps as differences."""
    arrays = [array for stamps, members in groups for array in (np.diff(stamps, prepend=0), *members)]
    peer = zstd()
    return len(peer.encode(np.frombuffer(b"".join(map(shuffled, arrays)), np.uint8)))


def bounded_ratios(
    signals: Sequence[Signal], n: int = 256, share: float = 1e-3, batches: int = 4
) -> list[float]:
    """Our bytes by those of SZ3 for each changing signal, error within share of its range; every value checked."""
    from pysz import sz, szConfig, szErrorBoundMode

    ratios = []
    for signal in signals:
        values = signal.values[np.isfinite(signal.values)] if signal.values.dtype.kind == "f" else np.zeros(0)
        if len(values) < n or np.ptp(values) == 0:
            continue
        bound = float(np.ptp(values)) * share
        ours = theirs = 0
        for first in range(0, min(len(values) - n + 1, batches * n), n):
            batch = np.ascontiguousarray(values[first : first + n])
            data = encode_values(batch, error_max=bound)
            assert np.abs(decode_values(data) - batch).max() <= bound, f"{signal.name}: further than {bound}"
            config = szConfig()
            config.errorBoundMode = szErrorBoundMode.ABS
            config.absErrorBound = bound
            ours += len(data)
            theirs += len(sz.compress(batch, config)[0])
        ratios.append(ours / theirs)
    return ratios
