"""The clocks of the agent: which time to believe, and the stamp that maps monotonic time to UTC (see edge.clock.van_clock)."""

from __future__ import annotations

from edge.clock.van_clock import KernelTime, TimeSources, VanClock

__all__ = [
    "KernelTime",
    "TimeSources",
    "VanClock",
]
