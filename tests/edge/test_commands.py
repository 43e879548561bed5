"""Commands on the van.

Goal: a live view watches for its time and no longer, a repeated, late, unknown or broken command changes nothing, and
every one with an id is answered; a watched batch keeps every sample and says so, in windows of one second.
Method: judged directly, through the queue, and through a Batcher with samples of one signal.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.batcher import Batcher
from edge.commands import IDS_MAX, WAITING_MAX, Commands, resent_outgoing
from edge.model import SampleBlock, TextTable
from edge.settings import BatchSection
from edge.spool import Resent
from vantel.catalog import Signal, assemble
from vantel.commands import (
    LIVE_VIEW_S_MAX,
    RESEND_ENVELOPES_MAX,
    Command,
    CommandResult,
    CommandStatus,
    LiveView,
    Rebirth,
    Resend,
)  # fmt: skip
from vantel.envelope import EnvelopeError
from vantel.identity import DeliveryClass, Epoch, PayloadKind
from vantel.intervals import IntervalSet
from vantel.payloads import Fidelity

S = 1_000_000_000
NOW = 1_700_000_000 * S


def live(command_id: str = "c", duration_s: float = 30.0, expires: int = NOW + 20 * S) -> bytes:
    return Command(command_id, LiveView(duration_s, (3, 70_000)), expires).encode()


def test_a_live_view_is_done_bounded_and_answered_as_p0() -> None:
    commands = Commands(watchable=True)
    order = commands.judge(live(), NOW)
    assert order is not None
    assert order.watch_s == 30.0
    out = order.outgoing
    assert (out.delivery_class, out.kind) == (DeliveryClass.P0, PayloadKind.COMMAND_RESULT)
    assert CommandResult.decode(out.payload) == CommandResult("c", CommandStatus.DONE, order.result.detail)
    assert commands.judge(live("long", 1e9), NOW).watch_s == LIVE_VIEW_S_MAX  # type: ignore[union-attr]
    assert commands.judge(live("end", 0.0), NOW).watch_s == 0.0  # type: ignore[union-attr]


def test_late_repeated_and_foreign_commands_change_nothing() -> None:
    commands = Commands(watchable=True)
    late = commands.judge(live("late", expires=NOW), NOW)
    assert late is not None
    assert late.result.status is CommandStatus.EXPIRED
    assert late.watch_s is None
    assert commands.judge(live("once"), NOW) is not None
    assert commands.judge(live("once"), NOW) is None
    unknown = commands.judge(Command("u", None).encode(), NOW)
    assert unknown is not None
    assert unknown.result.status is CommandStatus.UNSUPPORTED
    assert unknown.watch_s is None
    refused = Commands(watchable=False).judge(live(), NOW)
    assert refused is not None
    assert refused.result.status is CommandStatus.REFUSED
    assert refused.watch_s is None
    birth = commands.judge(Command("b", Rebirth()).encode(), NOW)
    assert birth is not None
    assert birth.rebirth
    assert birth.result.status is CommandStatus.DONE


def test_the_queue_is_bounded_and_outlives_rubbish() -> None:
    commands = Commands(watchable=True)
    commands.put(b"\xff\xff rubbish")
    for number in range(WAITING_MAX + 10):
        commands.put(live(str(number)))
    assert len(list(commands.take(NOW))) == WAITING_MAX - 1
    assert list(commands.take(NOW)) == []
    for number in range(1000, 1000 + IDS_MAX + 5):
        commands.judge(live(str(number)), NOW)
    assert commands.judge(live("1000"), NOW) is not None, "only the last ids are remembered"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_command_or_an_envelope_error(data: bytes) -> None:
    try:
        command = Command.decode(data)
    except EnvelopeError:
        return
    assert Command.decode(command.encode()) == command


@pytest.mark.parametrize("duration_s", [float("nan"), float("inf"), -1.0])
def test_a_duration_that_is_none_is_refused(duration_s: float) -> None:
    with pytest.raises(EnvelopeError, match="malformed"):
        Command.decode(live(duration_s=duration_s))


def test_watched_batches_are_full_and_one_second_long() -> None:
    catalog = assemble([Signal("a.B.C", group="a")])
    target = Batcher(catalog, BatchSection(), TextTable(), 0)

    def feed(first_s: float, last_s: float) -> list[tuple[float, Fidelity]]:
        t = np.arange(int(first_s * 10), int(last_s * 10), dtype=np.int64) * (S // 10)
        block = SampleBlock(np.zeros(len(t), np.int32), t, np.ones(len(t)))
        return [(batch.end_mono_ns / S, batch.fidelity) for batch in target.add(block)]

    assert feed(0, 12) == [(10, Fidelity.ROLLUP)]
    target.watch(20 * S)
    assert feed(12, 15) == [(12, Fidelity.FULL), (13, Fidelity.FULL), (14, Fidelity.FULL)]
    target.end_watch()
    closed = feed(15, 42)
    assert [end for end, _ in closed] == [20, 30, 40]
    assert [fidelity for _, fidelity in closed] == [Fidelity.FULL, Fidelity.ROLLUP, Fidelity.ROLLUP]


def test_a_resend_is_handed_to_the_spool_and_bounded() -> None:
    commands = Commands(watchable=False)
    wanted = Resend(Epoch(12, 0x9F3C1B2A), DeliveryClass.P1, 40, 99)
    order = commands.judge(Command("again", wanted).encode(), NOW)
    assert order is not None
    assert order.resend == wanted
    too_long = Resend(Epoch(12, 1), DeliveryClass.P1, 0, RESEND_ENVELOPES_MAX)
    refused = commands.judge(Command("long", too_long).encode(), NOW)
    assert refused is not None
    assert refused.resend is None
    assert refused.result.status is CommandStatus.REFUSED
    assert str(RESEND_ENVELOPES_MAX) in refused.result.detail
    with pytest.raises(EnvelopeError, match="backwards"):
        commands.judge(Command("back", Resend(Epoch(1, 1), DeliveryClass.P1, 5, 4)).encode(), NOW)


def test_the_result_of_a_resend_says_what_goes_and_what_is_gone() -> None:
    again = Resent(True, IntervalSet([(1, 3)]), gone={"quota": IntervalSet([(4, 4)])})
    for resent, status in ((again, CommandStatus.DONE), (Resent(), CommandStatus.REFUSED)):
        out = resent_outgoing("c", resent)
        assert (out.delivery_class, out.kind) == (DeliveryClass.P0, PayloadKind.COMMAND_RESULT)
        assert CommandResult.decode(out.payload) == CommandResult("c", status, resent.text)
    assert again.text == "3 sent again; gone: 1 quota (4)"


def test_a_van_that_does_not_know_the_time_judges_no_expiry() -> None:
    order = Commands(watchable=True).judge(live("old", expires=1), 0)
    assert order is not None
    assert order.result.status is CommandStatus.DONE
