"""Buses that share a thread.

Goal: only buses that say so share one; one that fails is put out, and the others go on; a lone bus passes its failure on.
Method: buses that do nothing but count their turns.
"""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from edge.model import Emit
from edge.sources.can_reading import Turning, read_buses, sharing


class Bus:
    """Always has frames; its third turn fails if it is bad; the tenth of a good one sets stop."""

    def __init__(self, name: str, stop: threading.Event, bad: bool = False) -> None:
        self.name, self.gather_s, self._stop, self._bad = name, 0.001, stop, bad
        self.turns = self.closed = 0

    def fileno(self) -> int | None:
        return None

    def wait(self, timeout_s: float) -> None:
        pass

    def wait_s(self) -> float:
        return 0.0

    def turn(self, emit: Emit) -> bool:  # noqa: ARG002
        self.turns += 1
        if self._bad and self.turns == 3:
            raise ValueError("a bug")
        if self.turns == 10:
            self._stop.set()
        return True

    def close(self) -> None:
        self.closed += 1


def test_one_that_fails_is_put_out_and_the_others_go_on() -> None:
    stop = threading.Event()
    good, bad = Bus("good", stop), Bus("bad", stop, bad=True)
    out: list[str] = []

    def failed(bus: Turning, cause: Exception) -> None:
        out.append(f"{bus.name}: {cause}")

    read_buses([(bad, lambda _: None), (good, lambda _: None)], stop, failed)
    assert out == ["bad: a bug"]
    assert (bad.turns, bad.closed, good.turns, good.closed) == (3, 1, 10, 1)
    lone = Bus("lone", stop, bad=True)
    stop.clear()
    with pytest.raises(ValueError, match="a bug"):
        read_buses([(lone, lambda _: None)], stop)
    assert lone.closed


def test_only_buses_that_gather_for_the_same_time_share() -> None:
    one, two, other = (SimpleNamespace(shared_by=by) for by in (0.004, 0.004, 0.01))
    polling, receiver = SimpleNamespace(shared_by=None), object()
    groups = sharing([one, receiver, two, polling, other])  # type: ignore[list-item]
    assert groups == [[one, two], [receiver], [polling], [other]]
