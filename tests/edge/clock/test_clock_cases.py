"""An agent whose wall clock is wrong: 1970 at boot, ten years off either way, steps forth and back.

Goal: what is sealed before the time is known waits on the disk, unsent, and gets the right time once it is known, also over
a restart; events go first, with source none, when the wait is over; a jump cuts the batch; no sample is lost, and no two
samples of a signal get one time. Method: the whole agent in this process on its live source, without a broker; its time
sources set by hand; its spool opened and decoded afterwards.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edge.agent import Agent
from edge.clock.choice import Source
from edge.settings import EdgeSettings
from edge.spool import Spool
from tests.edge.spool_walk import offered
from vantel import codec
from vantel.envelope import ClockStamp, Envelope, open_message
from vantel.identity import DeliveryClass, PayloadKind
from vantel.payloads import Batch

from .test_clock import YEAR_NS, S, SetTime, zda

P0, P1 = DeliveryClass.P0, DeliveryClass.P1
WAIT_S = 120.0
HOUR_NS = 3600 * S + 130_000_000  # no multiple of the window
LIVE_WINDOW_NS = 200_000_000
MOVED_NS = 1_000_000  # far below a step, above what numbering a mapping moves it by


def settings(folder: Path, **clock: float | str) -> EdgeSettings:
    return EdgeSettings(
        van={"id": "van-1", "state_dir": folder},
        mqtt={"port": 1},
        sources=[{"kind": "system", "period_s": 0.02}],
        batch={"window_s": 0.4, "window_live_s": 0.2, "fidelity": "full"},
        clock={"p0_wait_s": 1.0, "wait_s": WAIT_S, **clock},
    )  # type: ignore[arg-type]


@contextmanager
def running(settings: EdgeSettings, sources: SetTime | None) -> Iterator[Agent]:
    """The agent, until the end of the block."""
    agent = Agent(settings, sources)
    stop = threading.Event()
    thread = threading.Thread(target=agent.run, args=(stop, threading.Event()))
    thread.start()
    try:
        yield agent
    finally:
        stop.set()
        thread.join(WAIT_S)
        assert not thread.is_alive()


def until(true: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    end_s = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end_s, "it never came true"
        time.sleep(0.05)


def sendable(spool: Spool) -> list[tuple[Envelope, ClockStamp]]:
    """What the uplink would send."""
    return [open_message(message) for _, message in offered(spool)]


def batches(messages: list[tuple[Envelope, ClockStamp]]) -> list[tuple[Batch, ClockStamp]]:
    return [(Batch.decode(e.payload), c) for e, c in messages if e.kind is PayloadKind.BATCH]


def instants(messages: list[tuple[Envelope, ClockStamp]]) -> dict[int, list[int]]:
    """Unix ns of every sample, by signal, in order of the envelopes."""
    found: dict[int, list[int]] = {}
    for batch, clock in batches(messages):
        for column in codec.decode(batch.columns):
            found.setdefault(column.signal_id, []).extend(
                (np.asarray(column.t_ns) + clock.offset_ns).tolist()
            )
    return found


def whole(messages: list[tuple[Envelope, ClockStamp]], produced: int) -> None:
    """No sample is lost, and no two of a signal share an instant."""
    times = instants(messages)
    shed: Counter[str] = Counter()
    for batch, _ in batches(messages):
        shed.update(batch.shed)
    assert sum(len(stamps) for stamps in times.values()) + shed.total() == produced, shed
    for signal, stamps in times.items():
        assert len(set(stamps)) == len(stamps), f"two samples of {signal} at one time"


def test_a_board_that_boots_in_1970_delivers_on_the_right_axis(tmp_path: Path) -> None:
    sources = SetTime()
    sources.wall_off_ns = -time.time_ns() + 20 * S
    began_ns = time.time_ns()
    with running(settings(tmp_path), sources) as agent:
        spool = agent._spool
        until(lambda: spool.backlog()[P1][0] >= 3)
        assert not batches(sendable(spool)), "telemetry waits for the time"
        until(lambda: bool(sendable(spool)))
        early = sendable(spool)
        assert {e.delivery_class for e, _ in early} == {P0}, "events do not wait as long"
        assert {c.source for _, c in early} == {int(Source.NONE)}
        sources.know(Source.NTP)
        until(lambda: bool(batches(sendable(spool))))
        until(lambda: agent.status()["clock"]["waiting"] == [])  # type: ignore[index]
    messages = sendable(Spool.open(tmp_path / "spool", "van-1", agent._settings.spool))
    assert {c.source for e, c in messages if e.delivery_class is P1} == {int(Source.NTP)}
    whole(messages, agent.status()["samples_produced"])  # type: ignore[arg-type]
    for stamps in instants(messages).values():
        assert began_ns - S < min(stamps) <= max(stamps) < time.time_ns() + S
    assert [m for m in messages if m[0].delivery_class is P0][: len(early)] == early, (
        "what could be sent stays as it was"
    )


def test_it_waits_on_over_a_restart_and_a_reboot_ends_the_wait(tmp_path: Path) -> None:
    sources = SetTime(-20 * YEAR_NS)
    with running(settings(tmp_path), sources) as first:
        until(lambda: first._spool.backlog()[P1][0] >= 3)
    produced = first.status()["samples_produced"]
    again = SetTime(-20 * YEAR_NS)
    with running(settings(tmp_path), again) as second:
        assert not batches(sendable(second._spool))
        again.know(Source.GNSS)
        until(lambda: len(batches(sendable(second._spool))) >= 3)
    produced = produced + second.status()["samples_produced"]  # type: ignore[operator]
    messages = sendable(Spool.open(tmp_path / "spool", "van-1", second._settings.spool))
    whole(messages, produced)
    assert {c.source for _, c in batches(messages)} == {int(Source.GNSS)}


def test_ten_years_off_without_a_source_goes_with_none_and_says_so(tmp_path: Path) -> None:
    for off_ns in (-10 * YEAR_NS, 10 * YEAR_NS):
        folder = tmp_path / str(off_ns)
        sources = SetTime(off_ns)
        with running(settings(folder, p0_wait_s=0.0, wait_s=0.5), sources) as agent:
            until(lambda agent=agent: len(batches(sendable(agent._spool))) >= 3)  # type: ignore[misc]
        messages = sendable(Spool.open(folder / "spool", "van-1", agent._settings.spool))
        whole(messages, agent.status()["samples_produced"])  # type: ignore[arg-type]
        assert {(c.source, c.error_ns_max) for _, c in messages} == {(int(Source.NONE), 0)}
        assert abs(messages[0][1].offset_ns - off_ns - (time.time_ns() - time.monotonic_ns())) < 60 * S


def test_recorded_fixes_of_a_receiver_give_the_time(tmp_path: Path) -> None:
    """The machine's own sources, and a receiver that says that it is next year."""
    there_ns = time.time_ns() + YEAR_NS
    fixes = tmp_path / "fixes.nmea"
    fixes.write_text("".join(f"{0.5 + n} {zda(there_ns + n * S)}\n" for n in range(3)))
    with running(settings(tmp_path / "state", fixes_file=str(fixes)), None) as agent:
        until(lambda: len(batches(sendable(agent._spool))) >= 2)
    messages = sendable(Spool.open(tmp_path / "state" / "spool", "van-1", agent._settings.spool))
    whole(messages, agent.status()["samples_produced"])  # type: ignore[arg-type]
    stamped = batches(messages)
    assert {clock.source for _, clock in stamped} == {int(Source.GNSS)}
    for batch, clock in stamped:
        assert abs(batch.end_mono_ns + clock.offset_ns - there_ns) < 60 * S
        assert clock.error_ns_max >= S // 2


def test_steps_cut_the_batch_and_overwrite_nothing(tmp_path: Path) -> None:
    sources = SetTime()
    sources.know(Source.NTP)
    with running(settings(tmp_path), sources) as agent:
        for off_ns in (0, HOUR_NS, -HOUR_NS, 2 * HOUR_NS, 0):
            seen = len(batches(sendable(agent._spool)))
            sources.know(Source.NTP, off_ns)
            agent._clock.update()
            until(lambda seen=seen: len(batches(sendable(agent._spool))) >= seen + 3)  # type: ignore[misc]
    messages = sendable(Spool.open(tmp_path / "spool", "van-1", agent._settings.spool))
    whole(messages, agent.status()["samples_produced"])  # type: ignore[arg-type]
    stamped = batches(messages)
    assert len({clock.offset_ns for _, clock in stamped}) >= 5
    # a batch that was on its way to the spool when the clock jumped has windows of the time before
    offsets = [clock.offset_ns for _, clock in stamped]
    before = [next((o for o in offsets[at::-1] if o != own), own) for at, own in enumerate(offsets)]
    ends = [
        [batch.end_mono_ns + offset for offset in (own, old)]
        for (batch, _), own, old in zip(stamped, offsets, before, strict=True)
    ]
    # an event of the machine makes the van live, which cuts at live windows too
    aligned = [
        any((end + MOVED_NS) % LIVE_WINDOW_NS <= 2 * MOVED_NS for end in of_batch) for of_batch in ends
    ]
    assert aligned.count(False) <= 5, "windows follow the new time; only what a jump or the end cut does not"
    assert aligned.count(True) >= 10
    for (before, _), (after, _) in itertools.pairwise(stamped):
        assert before.end_mono_ns <= after.end_mono_ns
