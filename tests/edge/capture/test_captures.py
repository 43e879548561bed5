"""Campaigns and captures in the pipeline, without processes.

Goal: a capture holds every sample of its window and the last values of what is slow; what overlaps is one; blocks of any
size give the same captures; budget, start, end and restart do what they say; a clip on disk survives a torn end.
Method: synthetic streams through the pipeline; bodies decoded and compared with the stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.campaign.judge import InForce, Limits, judge
from edge.campaign.run import Ledger
from edge.campaign.store import CampaignStore
from edge.capture import clip_file
from edge.capture.clips import Clips
from edge.model import SampleBlock, TextTable
from edge.pipeline import Pipeline
from edge.queues import Outgoing
from edge.settings import CaptureSection, EdgeSettings
from vantel import codec
from vantel.campaign.document import Campaign, CampaignSet, Collected, Network
from vantel.campaign.signature import new_key, public_keys, sign
from vantel.captures import CampaignReport, CampaignStatus, CapturePart, CaptureState, CaptureSummary
from vantel.catalog import Signal, SignalType, assemble
from vantel.envelope import ClockStamp
from vantel.identity import PayloadKind

CATALOG = assemble(
    [Signal("Van.Fast"), Signal("Van.Slow"), Signal("Van.Door", type=SignalType.BOOL), Signal("Van.Static")]
)
ROW = {signal.name: at for at, signal in enumerate(CATALOG.signals)}
START_NS = 1_700_000_000_000_000_000
SECOND = 10**9
NOW = ClockStamp(b"b" * 16, 0, 1)
DOOR = Campaign("door", 1, (Collected("Van.Fast"), Collected("Van.Door")), "Van.Door", 10.0, 5.0, 10**7)


def settings(folder: Path) -> EdgeSettings:
    return EdgeSettings(van={"id": "van-1", "state_dir": folder}, sources=[{"kind": "probe"}])  # type: ignore[arg-type]


def stream(seconds: float, doors: Sequence[float] = ()) -> SampleBlock:
    """100 Hz, a door that opens for half a second at times, one slow signal, one that comes once."""
    stamps = START_NS + np.arange(round(seconds * 100), dtype=np.int64) * 10_000_000
    rows = [(int(t), ROW["Van.Fast"], float(at)) for at, t in enumerate(stamps)]
    rows += [(START_NS + s * SECOND + 1, ROW["Van.Slow"], float(s)) for s in range(int(seconds))]
    rows += [(START_NS + 2, ROW["Van.Static"], 7.0)]
    opened = [(round(d * 10), round(d * 10) + 5) for d in doors]
    for tenth in range(round(seconds * 10)):
        is_open = any(first <= tenth < last for first, last in opened)
        rows.append((START_NS + tenth * SECOND // 10 + 3, ROW["Van.Door"], float(is_open)))
    rows.sort()
    t, slot, value = (np.array(column) for column in zip(*rows, strict=True))
    return SampleBlock(slot.astype(np.int32), t.astype(np.int64), value.astype(np.float64))


def cut(block: SampleBlock, size: int) -> list[SampleBlock]:
    return [
        SampleBlock(block.slot[at : at + size], block.t_mono_ns[at : at + size], block.value[at : at + size])
        for at in range(0, len(block), size)
    ]


def run(
    folder: Path, campaigns: Sequence[Campaign], blocks: Sequence[SampleBlock], ledger: Ledger | None = None
) -> list[Outgoing]:
    ledger = ledger or Ledger(InForce(tuple(campaigns), generation=1, set_hash="x"))
    pipeline = Pipeline(CATALOG, settings(folder), TextTable(), 0, 0, ledger)
    out = [item for block in blocks for item in pipeline.step(block)]
    return [item for item in [*out, *pipeline.close()] if isinstance(item, Outgoing)]


def summaries(out: Sequence[Outgoing]) -> list[CaptureSummary]:
    return [CaptureSummary.decode(item.payload) for item in out if item.kind is PayloadKind.CAPTURE_SUMMARY]


def samples(
    out: Sequence[Outgoing], capture_id: str, last_values: bool = False
) -> list[tuple[str, int, float]]:
    found = []
    for item in out:
        if item.kind is PayloadKind.CAPTURE_PART:
            part = CapturePart.decode(item.payload)
            if part.capture_id == capture_id and part.last_values == last_values:
                for column in codec.decode(part.batch.columns):
                    name = CATALOG.by_id(column.signal_id).name
                    found += [
                        (name, int(t), float(v)) for t, v in zip(column.t_ns, column.values, strict=True)
                    ]
    return sorted(found)


def wanted(block: SampleBlock, names: Sequence[str], start: int, end: int) -> list[tuple[str, int, float]]:
    name_of = {at: name for name, at in ROW.items()}
    rows = zip(block.slot.tolist(), block.t_mono_ns.tolist(), block.value.tolist(), strict=True)
    return sorted((name_of[s], t, v) for s, t, v in rows if name_of[s] in names and start <= t < end)


def kept(folder: Path, out: Sequence[Outgoing], **bounds: int) -> Clips:
    clips = Clips(folder, CaptureSection(**bounds), CATALOG, lambda _: None)  # type: ignore[arg-type]
    for item in out:
        clips.keep(item, NOW)
    return clips


@pytest.mark.parametrize("size", [1, 7, 113, 5000])
def test_a_capture_holds_every_sample_of_its_window_however_blocks_are_cut(tmp_path: Path, size: int) -> None:
    block = stream(30, doors=[15])
    out = run(tmp_path, [DOOR], cut(block, size))
    first, last = summaries(out)
    assert (first.state, last.state) == (CaptureState.OPEN, CaptureState.COMPLETE)
    trigger_ns = START_NS + 15 * SECOND + 10_000_000
    assert last.triggers[0].t_mono_ns == trigger_ns
    assert (last.start_mono_ns, last.end_mono_ns) == (trigger_ns - 10 * SECOND, trigger_ns + 5 * SECOND)
    body = wanted(block, ("Van.Fast", "Van.Door"), last.start_mono_ns, last.end_mono_ns)
    assert samples(out, last.capture_id) == body
    assert last.samples == len(body) + len(samples(out, last.capture_id, last_values=True))
    before = {name: (t, v) for name, t, v in samples(out, last.capture_id, last_values=True)}
    assert before["Van.Static"] == (START_NS + 2, 7.0)
    assert before["Van.Slow"] == (START_NS + 5 * SECOND + 1, 5.0)


def test_blocks_of_any_size_give_the_same_payloads(tmp_path: Path) -> None:
    block = stream(60, doors=[15, 18, 40, 41])
    runs = [
        [
            item.payload
            for item in run(tmp_path, [DOOR], cut(block, size))
            if item.kind in (PayloadKind.CAPTURE_PART, PayloadKind.CAPTURE_SUMMARY)
        ]
        for size in (50, 333, 10_000)
    ]
    assert len(runs[0]) > 20
    assert len({tuple(payloads) for payloads in runs}) == 1


def test_windows_that_overlap_are_one_capture_with_the_signals_of_all(tmp_path: Path) -> None:
    block = stream(40, doors=[15, 18])
    slow = Campaign("slow", 1, (Collected("Van.Slow"),), "Van.Slow >= 17", 12.0, 6.0, 10**7)
    out = run(tmp_path, [DOOR, slow], cut(block, 100))
    ends = [item for item in summaries(out) if item.state is CaptureState.COMPLETE]
    assert len(ends) == 1
    assert [trigger.campaign for trigger in ends[0].triggers] == ["door", "slow", "door"]
    named = {CATALOG.by_id(signal_id).name for signal_id in ends[0].signal_ids}
    assert named == {"Van.Fast", "Van.Door", "Van.Slow"}
    assert samples(out, ends[0].capture_id) == sorted(
        wanted(block, ("Van.Fast", "Van.Door"), START_NS + 5 * SECOND + 10_000_000, ends[0].end_mono_ns)
        + wanted(block, ("Van.Slow",), ends[0].triggers[1].t_mono_ns - 12 * SECOND, ends[0].end_mono_ns)
    )


def test_a_window_that_reaches_into_a_finished_capture_opens_it_again(tmp_path: Path) -> None:
    block = stream(60, doors=[15, 24, 50])
    out = run(tmp_path, [DOOR], cut(block, 100))
    told = summaries(out)
    first = told[0].capture_id
    states = [item.state.name for item in told if item.capture_id == first]
    assert states == ["OPEN", "COMPLETE", "OPEN", "COMPLETE"]
    assert len({item.capture_id for item in told}) == 2, "the third door is too late for it"
    whole = [item for item in told if item.capture_id == first][-1]
    assert whole.end_mono_ns - whole.start_mono_ns == 24 * SECOND
    body = wanted(block, ("Van.Fast", "Van.Door"), whole.start_mono_ns, whole.end_mono_ns)
    assert samples(out, first) == body, "each sample once"
    assert whole.samples == len(body) + len(samples(out, first, last_values=True))
    clips = kept(tmp_path / "captures", out)
    parts = [item.payload for item in out if item.kind is PayloadKind.CAPTURE_PART]
    again = [i.payload for c in clips.clips for i in clips.again(c.summary.capture_id, NOW)]
    assert [payload for payload in again if payload in parts] == parts, "one clip with all of it"


def test_a_replay_goes_through_a_capture_again_that_was_opened_again(tmp_path: Path) -> None:
    block = stream(60, doors=[15, 24])
    undisturbed = run(tmp_path, [DOOR], cut(block, 100))
    for seconds in (22, 27, 35):  # killed between the windows, in the second, and after both
        killed = Pipeline(
            CATALOG, settings(tmp_path), TextTable(), 0, 0, Ledger(InForce((DOOR,), generation=1))
        )
        until = START_NS + seconds * SECOND
        before = [i for b in cut(block, 100) if b.t_mono_ns[-1] < until for i in killed.step(b)]
        clips = kept(tmp_path / f"captures-{seconds}", [i for i in before if isinstance(i, Outgoing)])
        again = Pipeline(
            CATALOG, settings(tmp_path), TextTable(), 0, 0, Ledger(InForce((DOOR,), generation=1))
        )
        again.campaigns.recorder.finished = {
            clip.summary.capture_id: clip.summary.end_mono_ns
            for clip in clips.clips
            if clip.summary.state is CaptureState.COMPLETE
        }
        after = [i for b in cut(block, 100) for i in again.step(b) if isinstance(i, Outgoing)]
        for item in after:
            clips.keep(item, NOW)
        (clip,) = clips.clips
        assert clip.summary == summaries(undisturbed)[-1]
        parts = [r.payload for r in clip_file.read(clip.path) if r.kind == PayloadKind.CAPTURE_PART]
        assert parts == [i.payload for i in undisturbed if i.kind is PayloadKind.CAPTURE_PART], seconds


def test_a_campaign_that_repeats_keeps_its_quiet_time(tmp_path: Path) -> None:
    always = Campaign("always", 1, (Collected("Van.Slow"),), "", 0.0, 1.0, 10**8, repeat=True, quiet_s=5.0)
    opened = [
        i for i in summaries(run(tmp_path, [always], cut(stream(22), 100))) if i.state is CaptureState.OPEN
    ]
    times = [item.triggers[0].t_mono_ns for item in opened]
    assert np.diff(times).tolist() == [5 * SECOND] * 4


def test_captures_that_reach_their_greatest_length_lie_end_to_end(tmp_path: Path) -> None:
    always = Campaign("always", 1, (Collected("Van.Slow"),), "", 10.0, 30.0, 10**8, repeat=True)
    block = stream(900)
    slow = block.slot == ROW["Van.Slow"]
    block = SampleBlock(block.slot[slow], block.t_mono_ns[slow], block.value[slow])
    out = run(tmp_path, [always], cut(block, 10))
    ends = [item for item in summaries(out) if item.state is not CaptureState.OPEN]
    first, second = (item for item in ends[-2:])
    assert first.end_mono_ns == second.start_mono_ns == second.triggers[0].t_mono_ns
    assert first.end_mono_ns - first.start_mono_ns <= 600 * SECOND
    assert samples(out, first.capture_id) + samples(out, second.capture_id) == wanted(
        block, ("Van.Slow",), first.start_mono_ns, START_NS + 900 * SECOND
    )


def test_a_window_that_may_go_at_once_takes_the_body_along(tmp_path: Path) -> None:
    home = replace(DOOR, network=Network.UNMETERED)
    urgent = Campaign("urgent", 1, (Collected("Van.Slow"),), "Van.Slow >= 17", 1.0, 1.0, 10**7)
    told = summaries(run(tmp_path, [home, urgent], cut(stream(30, doors=[15]), 100)))
    assert [item.body_waits for item in told] == [True, False, False]


def test_a_spent_budget_rests_until_the_next_day_and_is_told(tmp_path: Path) -> None:
    small = replace(DOOR, bytes_per_day_max=1, before_s=1.0, after_s=1.0)
    out = run(tmp_path, [small], cut(stream(40, doors=[5, 15, 25]), 100))
    assert len({item.capture_id for item in summaries(out)}) == 1
    reports = [
        CampaignReport.decode(item.payload) for item in out if item.kind is PayloadKind.CAMPAIGN_REPORT
    ]
    assert reports[-1].campaigns[0].status is CampaignStatus.OVER_BUDGET
    assert reports[-1].campaigns[0].captures == 1


def test_start_end_and_silence_are_told(tmp_path: Path) -> None:
    late = replace(
        DOOR, name="late", start_unix_ns=START_NS + 10 * SECOND, end_unix_ns=START_NS + 20 * SECOND
    )
    silent = replace(DOOR, name="silent", condition="Van.Slow > 1e6", data_within_s=15.0)
    ledger = Ledger()
    pipeline = Pipeline(CATALOG, settings(tmp_path), TextTable(), 0, 0, ledger)
    blocks = cut(stream(30, doors=[5, 15, 25]), 100)
    out = [*pipeline.step(blocks[0]), *pipeline.campaigns.adopt(InForce((late, silent), generation=1))]
    for block in blocks[1:]:
        out += [item for item in pipeline.step(block) if isinstance(item, Outgoing)]
    told = [
        CampaignReport.decode(i.payload)
        for i in out
        if isinstance(i, Outgoing) and i.kind is PayloadKind.CAMPAIGN_REPORT
    ]
    states = {
        name: [next(s.status.name for s in r.campaigns if s.name == name) for r in told]
        for name in ("late", "silent")
    }
    assert list(dict.fromkeys(states["late"])) == ["WAITING", "ACTIVE", "EXPIRED"]
    assert list(dict.fromkeys(states["silent"])) == ["ACTIVE", "SILENT"]
    assert len({s.capture_id for s in summaries([i for i in out if isinstance(i, Outgoing)])}) == 1


def test_a_set_is_judged_and_an_older_version_stays(tmp_path: Path) -> None:
    private, public = new_key()
    limits = Limits("van-1", 60.0, public_keys(public))

    def came(generation: int, *campaigns: Campaign, van: str = "van-1", key: bytes = private) -> bytes:
        return sign(CampaignSet(van, generation, campaigns).encode(), key)

    first = judge(came(5, DOOR), InForce(), CATALOG, limits)
    assert first is not None
    assert first.campaigns == (DOOR,)
    assert judge(came(5, DOOR), first, CATALOG, limits) is None
    for data, reason in [
        (came(5, replace(DOOR, version=2)), "replayed"), (came(4), "replayed"), (came(6, van="van-2"), "wrong_van"),
        (came(6, key=new_key()[0]), "signature"), (b"rubbish", "malformed"), (bytes(400_000), "too_large"),
        (came(6, DOOR, DOOR), "duplicate"),
    ]:  # fmt: skip
        verdict = judge(data, first, CATALOG, limits)
        assert verdict is not None
        assert verdict.refused[1] == reason
        assert verdict.campaigns == (DOOR,)
    always = replace(
        DOOR, name="always", condition="", repeat=True, signals=(Collected("*"),), bytes_per_day_max=1000
    )
    worse = [
        (replace(DOOR, version=2, condition="Van.Door and Van.Nothing > 1"), "unknown_signal", 13),
        (replace(DOOR, version=2, condition="(" * 40), "too_deep", 10),
        (replace(DOOR, version=2, condition="max(Van.Fast, 400 s) > 1"), "window", 14),
        (replace(DOOR, version=2, signals=(Collected("Nothing.*"),)), "unknown_signal", -1),
        (replace(DOOR, version=2, before_s=58.0), "window", -1),
        (replace(always, name="door", version=2), "budget", -1),
        (replace(DOOR, version=2, after_s=float("nan")), "range", -1),
    ]
    for campaign, reason, position in worse:
        verdict = judge(came(7, campaign), first, CATALOG, limits)
        assert verdict is not None
        assert verdict.campaigns == (DOOR,), reason
        assert [(s.reason, s.position) for s in verdict.rejected] == [(reason, position)]
    gone = judge(came(8), first, CATALOG, limits)
    assert gone is not None
    assert gone.campaigns == ()


def test_what_is_in_force_outlives_a_restart_and_a_rejected_file_does_not_stop_it(tmp_path: Path) -> None:
    store = CampaignStore(tmp_path, "van-1", "boot")
    ledger = Ledger(InForce((DOOR,), (), 9, "abc", (8, "replayed", "old")))
    run(tmp_path, [], cut(stream(20, doors=[12]), 100), ledger)
    store.save(ledger)
    again = CampaignStore(tmp_path, "van-1", "boot").load()
    assert again == ledger
    assert again.usage["door 1"].captures == 1
    other = CampaignStore(tmp_path, "van-1", "another boot").load()
    assert other.usage["door 1"].since_ns < 0
    (tmp_path / "campaigns.json").write_text("{torn")
    assert CampaignStore(tmp_path, "van-1", "boot").load() == Ledger()


def test_a_campaign_without_data_is_silent_until_its_next_capture(tmp_path: Path) -> None:
    ledger = Ledger(
        InForce((replace(DOOR, data_within_s=20.0), replace(DOOR, name="calm")), generation=1, set_hash="x")
    )
    pipeline = Pipeline(CATALOG, settings(tmp_path), TextTable(), 0, 0, ledger)
    silent: dict[int, float] = {}
    for block in cut(stream(60, doors=[45]), 113):
        pipeline.step(block)
        silent[int(block.t_mono_ns.max() - START_NS) // SECOND] = pipeline.campaigns.gauges["silent"]
    assert silent[15] == 0
    assert silent[40] == 1, "only the one that asks for it"
    assert silent[50] == 0
