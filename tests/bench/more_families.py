"""Ten more made-up families, for tests/bench/families.py --more: written before the detector was run on them.

In brackets what a family resembles, or what it asks for:

    clicks     hourly visits, a day of 24 within a week, both grow with the trend; single hours off by a third (Yahoo A1, A3)
    turns      trend, sines of 12, 40 and 168 samples, noise; single points off by 5 sigma, once the slope turns (Yahoo A4)
    quotes     a random walk; single points off by 6 steps and back, a jump that stays (prices, slow counters)
    response   times to answer, skewed, over a level that wanders; doubled for half an hour, tenfold for three samples (IT metrics)
    duty       a machine on and off, uneven; one on-time is twice as long, one start is a slow ramp (NASA's valve currents)
    disk       fills up and is emptied, uneven; a leak at four times the slope, two single points, a stop (IT metrics)
    tide       two sines that never meet, noise that remembers; an offset of 3 sigma, noise of three times the size (sea levels)
    pulse      beats at 125 Hz on a wandering base line, their height breathes; a beat too early, a beat that is missing (ECG)
    kpi        a count a minute with a day of 1,440, its noise grows with it; a dip to a half at noon, the level of noon at night (KPI)
    stopgo     a speed that stops and goes, and hums; zero for ten samples while it drives, four seconds held, a scale of 1.3 (vehicles)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Case = tuple[Array, NDArray[np.bool_], float]


def _labelled(x: Array, parts: list[tuple[int, int]], step_s: float) -> Case:
    labels = np.zeros(len(x), bool)
    for at, length in parts:
        labels[at : at + length] = True
    return x[:, None], labels, step_s


def _memory(random: np.random.Generator, n: int, keeps: float, size: float) -> Array:
    """Noise that remembers: AR of order 1 with innovations of that size."""
    x, steps = np.zeros(n), random.normal(0, size, n)
    for i in range(1, n):
        x[i] = keeps * x[i - 1] + steps[i]
    return x


def clicks(random: np.random.Generator) -> Case:
    n = 1440
    t = np.arange(n)
    day = 1.0 + 0.5 * np.sin(2 * np.pi * (t - 9) / 24) + 0.2 * np.sin(4 * np.pi * t / 24)
    week = np.where((t // 24) % 7 >= 5, 0.75, 1.0)
    x = 1000 * (1 + 0.6 * t / n) * day * week * (1 + 0.04 * random.normal(size=n))
    points = 500 + np.sort(random.choice(900, 6, replace=False))
    x[points] *= random.choice([0.67, 1.4], 6)
    return _labelled(x, [(int(at), 1) for at in points], 3600.0)


def turns(random: np.random.Generator) -> Case:
    n = 1680
    t = np.arange(n)
    turn = 1100 + int(random.integers(200))
    trend = 0.1 * t - 0.2 * np.maximum(t - turn, 0)
    x = (
        trend
        + 12 * np.sin(2 * np.pi * t / 12)
        + 8 * np.sin(2 * np.pi * t / 40)
        + 20 * np.sin(2 * np.pi * t / 168)
    )
    x += random.normal(0, 2, n)
    points = 500 + np.sort(random.choice(1150, 8, replace=False))
    x[points] += 10 * random.choice([-1, 1], 8)
    return _labelled(x, [*((int(at), 1) for at in points), (turn, 1)], 3600.0)


def quotes(random: np.random.Generator) -> Case:
    n = 4000
    x = 100 + np.cumsum(0.2 * random.standard_t(5, n))
    points = 1000 + np.sort(random.choice(2800, 5, replace=False))
    jump = 1500 + int(random.integers(2000))
    x[jump:] += 3.0
    x[points] += 1.6 * random.choice([-1, 1], 5)
    return _labelled(np.round(x, 2), [*((int(at), 1) for at in points), (jump, 3)], 60.0)


def response(random: np.random.Generator) -> Case:
    n = 5000
    level = 40 * np.exp(np.cumsum(random.normal(0, 0.004, n)))
    x = level * np.exp(0.35 * random.normal(size=n)) + 5
    slow, worst = 2000 + int(random.integers(800)), 3600 + int(random.integers(800))
    x[slow : slow + 30] *= 2
    x[worst : worst + 3] *= 10
    return _labelled(x, [(slow, 30), (worst, 3)], 60.0)


def duty(random: np.random.Generator) -> Case:
    n, at, k = 6000, 40, 0
    x, parts = np.zeros(n), []
    longer, ramp = 40 + int(random.integers(6)), 60 + int(random.integers(6))
    while at < n - 200:
        on, off = int(random.normal(40, 2)), int(random.normal(30, 3))
        if k == longer:
            parts.append((at + on, on))
            on *= 2
        shape = 4 * np.minimum(np.arange(on) / (3.0 if k != ramp else 30.0), 1.0)
        if k == ramp:
            parts.append((at, 30))
        x[at : at + on] = shape + 0.5 * np.exp(-np.arange(on) / 4.0)
        at, k = at + on + off, k + 1
    return _labelled(x[:at] + random.normal(0, 0.08, at), parts, 0.1)


def disk(random: np.random.Generator) -> Case:
    n = 5000
    slope = 0.05 * (1 + 0.3 * random.normal(size=n))
    leak, stop = 2600 + int(random.integers(300)), 4000 + int(random.integers(300))
    slope[leak : leak + 60] *= 4
    slope[stop : stop + 80] = 0
    points = 1200 + np.sort(random.choice(1200, 2, replace=False))
    x, used, emptied = np.zeros(n), 30.0, 0
    for i in range(n):
        used += slope[i]
        emptied += 1
        if emptied > 500 + random.integers(60):
            used, emptied = 30.0 + random.normal(0, 1), 0
        x[i] = used
    x += random.normal(0, 0.15, n)
    x[points] += 3 * random.choice([-1, 1], 2)
    return _labelled(x, [(leak, 60), (stop, 80), *((int(at), 1) for at in points)], 60.0)


def tide(random: np.random.Generator) -> Case:
    n = 6000
    t = np.arange(n)
    x = (
        1.5 * np.sin(2 * np.pi * t / 124.2)
        + 0.5 * np.sin(2 * np.pi * t / 120.0)
        + _memory(random, n, 0.9, 0.05)
    )
    offset, rough = 3000 + int(random.integers(500)), 4600 + int(random.integers(500))
    x[offset : offset + 60] += 0.35
    x[rough : rough + 80] += random.normal(0, 0.15, 80)
    return _labelled(x, [(offset, 60), (rough, 80)], 360.0)


def pulse(random: np.random.Generator) -> Case:
    n, beat = 8000, 100
    early, missing = 40 + int(random.integers(5)), 62 + int(random.integers(5))
    x, at, k, parts = np.zeros(n), 0, 0, []
    while at < n - 2 * beat:
        length = int(random.normal(beat, 2)) - (35 if k == early - 1 else 0)
        i = np.arange(beat)
        height = (1 + 0.1 * np.sin(2 * np.pi * k / 4)) * (0.0 if k == missing else 1.0)
        wave = np.exp(-(((i - 30) / 2.5) ** 2)) - 0.3 * np.exp(-(((i - 35) / 3) ** 2))
        x[at : at + beat] += height * (wave + 0.25 * np.exp(-(((i - 62) / 8) ** 2)))
        if k in (early, missing):
            parts.append((at, beat))
        at, k = at + length, k + 1
    x += 0.2 * np.sin(2 * np.pi * np.arange(n) / 430) + random.normal(0, 0.03, n)
    return _labelled(x[:at], parts, 0.008)


def kpi(random: np.random.Generator) -> Case:
    n, day = 7200, 1440
    t = np.arange(n)
    rate = 300 * (1.1 - np.cos(2 * np.pi * t / day)) * np.exp(0.08 * random.normal(size=n))
    dip, night = 3 * day + 720 + int(random.integers(60)), 4 * day + int(random.integers(60))
    rate[dip : dip + 20] *= 0.5
    rate[night : night + 15] += 500
    return _labelled(random.poisson(rate).astype(float), [(dip, 20), (night, 15)], 60.0)


def stopgo(random: np.random.Generator) -> Case:
    n, at = 6000, 0
    aim = np.zeros(n)
    while at < n:
        length = int(random.integers(80, 300))
        aim[at : at + length] = random.choice([0.0, 30.0, 50.0, 80.0], p=[0.2, 0.3, 0.35, 0.15])
        at += length
    zero, held, scaled = (at + int(random.integers(300)) for at in (2200, 3500, 4800))
    aim[zero - 60 : zero + 100] = 50.0
    aim[held - 60 : held + 20], aim[held + 20 : held + 100] = 30.0, 60.0
    aim[scaled - 60 : scaled + 160] = 60.0
    x = np.zeros(n)
    for i in range(1, n):
        x[i] = x[i - 1] + 0.04 * (aim[i] - x[i - 1])
    x = np.maximum(x + 0.2 * np.sin(np.arange(n) / 3.0) * (x > 2) + random.normal(0, 0.1, n) * (x > 1), 0)
    x[zero : zero + 10] = 0.0
    x[held : held + 40] = x[held]
    x[scaled : scaled + 80] *= 1.3
    return _labelled(x, [(zero, 10), (held, 40), (scaled, 80)], 0.1)


MORE: tuple[Callable[[np.random.Generator], Case], ...] = (
    clicks, turns, quotes, response, duty, disk, tide, pulse, kpi, stopgo,
)  # fmt: skip
