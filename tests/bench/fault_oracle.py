"""Whether anybody could have seen a fault: the test that knows where it is, what it is, and how large.

A detector is told nothing; the oracle is told signal, onset, form, size and sign of the fault, and tests that one
hypothesis. Nothing of edge.detector is used, so it can see what the detector misses. For each signal there are up to four
views, linear and fitted by least squares to an hour of the clean stream:

    own      innovations of an autoregression on the eight values before, and on the last one
    peers    innovations of the same with the values of the peers, now and before
    level    the residual against the peers now

In each view, as it is and in units of its RMS in the 32 samples before the onset, the statistics that the form asks for:

    known shape g (spike, bias, drift, gain, ...)   log likelihood ratio of e - g against e, Gauss and Student t (4)
    noise                                           log likelihood ratio of the wider scale against the usual one
    noise, and all other forms                      RMS of the first 1, 4, 16 and of all samples
    what holds values (stuck, rate, ...)            the repeats, and the longest run of them, among the samples

The alarm bar of each statistic is what it does in windows of the clean hour: peaks above its 95 % quantile, one a cluster,
taken as a generalised Pareto tail (moments), extrapolated to the budget of the van divided by its signals and by the
statistics tried; at least the largest value that the clean hour had. The same budget as the detector's, and like
the detector it has only a resampled minute to learn tails from. A fault is visible when any statistic passes its bar.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tests.bench.fault_kinds import ARRIVALS, Fault, Recording, Table, wander

HOUR_S = 3600
DAY_S = 8 * 3600
LAGS = 8
BEFORE = 32
_ELEMENTS = 400_000
_NU = 4.0
_SHAPED = ("spike", "bias", "drift", "gain", "bus load x", "cell mV", "thermal K/min")
_SCALED = ("gain", "bus load x")
_HOLDING = ("stuck", "rate /", "quantisation", "saturation at p90", "dropout to 0")
Vector = NDArray[np.float64]


class View:
    """e[t] = y[t] - what the past of y, and peers, say it is; linear. The first LAGS rows have none."""

    def __init__(self, table: Table, slot: int, peers: list[int], lags: int) -> None:
        self._slot, self._peers, self._lags = slot, peers, lags
        rows = self._regressors(table)
        target = table[LAGS:, slot]
        scale = np.sqrt(np.mean(rows**2, axis=0)) + 1e-12
        ridge = np.vstack([rows / scale, 1e-3 * np.eye(rows.shape[1])])
        padded = np.concatenate([target, np.zeros(rows.shape[1])])
        self._weights = np.linalg.lstsq(ridge, padded, rcond=None)[0] / scale

    def _regressors(self, table: Table) -> Table:
        n = len(table)
        own = [table[LAGS - k : n - k, self._slot] for k in range(1, self._lags + 1)]
        others = [
            table[LAGS - k : n - k, peer] for peer in self._peers for k in range(2 if self._lags else 1)
        ]
        return np.column_stack([*own, *others, np.ones(n - LAGS)])

    def of(self, table: Table) -> Vector:
        return np.asarray(table[LAGS:, self._slot] - self._regressors(table) @ self._weights)

    def shape_of(self, change: Vector) -> NDArray[np.float64]:
        """What a change of y float64[..., n] does to e, with none before it."""
        g = change.copy()
        for k in range(1, self._lags + 1):
            g[..., k:] -= self._weights[k - 1] * change[..., :-k]
        return g

    @property
    def gain(self) -> float:
        """How much wider independent noise in y makes e."""
        return float(np.sqrt(1.0 + np.sum(self._weights[: self._lags] ** 2)))


def _rho(z: Vector) -> Vector:
    return 0.5 * (_NU + 1.0) * np.log1p(z * z / _NU)


def _longest_run(repeats: Vector) -> Vector:
    """Longest run of ones in each row."""
    longest = run = np.zeros(len(repeats))
    for column in repeats.T:
        run = (run + 1.0) * column
        longest = np.maximum(longest, run)
    return longest


def _statistics(
    fault: Fault, view: View, sigma: float, change: Vector, scale: float
) -> Callable[[Vector, Vector, Vector], list[Vector]]:
    """The statistics of windows: e float64[m, BEFORE + n], y float64[m, BEFORE + n], s float64[m] -> float64[m] each."""

    def of(e: Vector, y: Vector, s: Vector) -> list[Vector]:
        out = []
        for unit in (np.full(len(e), scale), s):
            z = e[:, BEFORE:] / unit[:, None]
            if fault.kind in _SHAPED:
                d = y[:, BEFORE:] * (1 - 1 / fault.magnitude) if fault.kind in _SCALED else change[None, :]
                g = view.shape_of(d) / unit[:, None]
                out += [
                    np.sum(z * g - 0.5 * g * g, axis=1) / (np.sqrt(np.sum(g * g, axis=1)) + 1e-12),
                    np.sum(_rho(z) - _rho(z - g), axis=1),
                ]
            elif fault.kind == "noise":
                wider = np.sqrt(1 + (view.gain * sigma / unit) ** 2 * (fault.magnitude**2 - 1))
                out.append(np.sum(_rho(z) - _rho(z / wider[:, None]), axis=1) - z.shape[1] * np.log(wider))
            if fault.kind not in _SHAPED:
                out += [np.sqrt(np.mean(z[:, :n] ** 2, axis=1)) for n in (1, 4, 16, z.shape[1])]
        return out

    return of


def _holding(y: Vector) -> list[Vector]:
    repeats = (np.diff(y[:, BEFORE - 1 :], axis=1) == 0).astype(float)
    return [repeats.sum(axis=1), _longest_run(repeats)]


def _bar(null: Vector, windows_a_day: float, budget: float) -> float:
    """The level that peaks of the statistic pass budget times a day."""
    high = float(np.quantile(null, 0.95))
    above = null > high
    if not above.any():
        return float(null.max())
    starts = np.flatnonzero(above & ~np.append(False, above[:-1]))
    peaks = np.array([run.max() for run in np.split(np.where(above, null, high), starts)[1:]]) - high
    clusters_a_day = windows_a_day * len(starts) / len(null)
    mean, variance = float(peaks.mean()), float(peaks.var())
    shape = min(max(0.5 * (1 - mean * mean / variance), 0.0), 0.4) if variance > 0 else 0.0
    rarer = clusters_a_day / budget
    scale = mean * (1 - shape)
    reach = scale * np.log(rarer) if shape < 1e-6 else scale * (rarer**shape - 1) / shape
    return max(high + float(reach), float(null.max()))


class Oracle:
    """Bars for every fault in every signal of a recording at one budget (incidents a van-day), found when first asked for."""

    def __init__(self, recording: Recording, budget: float) -> None:
        self._recording, self._budget = recording, budget
        self._clean, _ = wander(recording, HOUR_S * recording.rate_hz, np.random.default_rng(23))
        self._views: dict[int, list[tuple[View, Vector, float]]] = {}
        self._bars: dict[tuple[int, Fault, float], list[list[float]]] = {}

    def _views_of(self, slot: int) -> list[tuple[View, Vector, float]]:
        if slot not in self._views:
            names = [signal.name for signal in self._recording.catalog.signals]
            mine = [members for members in self._recording.peers if names[slot] in members]
            peers = sorted({names.index(name) for members in mine for name in members} - {slot})
            views = [View(self._clean, slot, [], lags) for lags in (LAGS, 1)]
            views += [View(self._clean, slot, peers, lags) for lags in (LAGS, 0) if peers]
            found = [(view, view.of(self._clean)) for view in views]
            self._views[slot] = [(view, e, float(np.sqrt(np.mean(e * e))) + 1e-12) for view, e in found]
        return self._views[slot]

    def _figures(
        self, fault: Fault, slot: int, change: Vector, e_of: list[Vector], y: Vector
    ) -> list[list[Vector]]:
        """Statistics by view, then those of the values; of windows float64[m, BEFORE + n]."""
        out = []
        for (view, _, scale), e in zip(self._views_of(slot), e_of, strict=True):
            local = np.maximum(np.sqrt(np.mean(e[:, :BEFORE] ** 2, axis=1)), 0.1 * scale)
            statistics = _statistics(fault, view, float(self._recording.sigma[slot]), change, scale)
            out.append(statistics(e, y, local))
        return [*out, _holding(y)] if fault.kind in _HOLDING else out

    def _bars_of(self, fault: Fault, slot: int, change: Vector) -> list[list[float]]:
        sign = float(np.sign(change.sum()))
        key = slot, fault, sign
        if key not in self._bars:
            length = BEFORE + len(change)
            n = len(self._clean) - LAGS - length
            stride = max(1, n * length // _ELEMENTS)
            at = np.arange(0, n, stride)[:, None] + np.arange(length)[None, :]
            y = self._clean[LAGS:, slot][at]
            figures = self._figures(fault, slot, change, [e[at] for _, e, _ in self._views_of(slot)], y)
            tried = sum(len(part) for part in figures)
            windows = DAY_S * self._recording.rate_hz / stride
            share = self._budget / len(self._recording.sigma) / tried
            self._bars[key] = [[_bar(null, windows, share) for null in part] for part in figures]
        return self._bars[key]

    def sees(self, clean: Table, faulty: Table, slot: int, fault: Fault, at: int) -> bool:
        """True when a test for this fault at row at (>= BEFORE + LAGS) passes its bar."""
        if fault.kind in ARRIVALS or np.isnan(faulty[:, slot]).any():
            return True  # stamps on a grid, values without NaN: any departure is certain
        stop = min(at + max(round(fault.for_s * self._recording.rate_hz), 1), len(faulty))
        change = faulty[at:stop, slot] - clean[at:stop, slot]
        if not change.any():
            return False
        bars = self._bars_of(fault, slot, change)
        part = faulty[at - BEFORE - LAGS : stop]
        e_of = [view.of(part)[None, :] for view, _, _ in self._views_of(slot)]
        figures = self._figures(fault, slot, change, e_of, part[LAGS:, slot][None, :])
        passes = (
            f[0] > b
            for figure, bar in zip(figures, bars, strict=True)
            for f, b in zip(figure, bar, strict=True)
        )
        return any(passes)
