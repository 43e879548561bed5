"""A capture on a van that lives: no recording goes through it again.

Goal: with the network cut and the agent killed in the middle of a capture, what was sent up to the kill and after the
restart is there, every sample as the source sent it, and what is not is a gap that the capture tells.
Method: a real agent without a broker, a bus on loopback UDP whose frames count up; the clip and the spool are read.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from edge.campaign.judge import InForce
from edge.campaign.run import Ledger
from edge.campaign.store import CampaignStore
from edge.capture import clip_file
from tests.edge.test_agent_can import free_ports
from tests.edge.test_agent_process import NO_BROKER_PORT, spooled
from vantel import codec
from vantel.campaign.document import Campaign, Collected
from vantel.captures import CapturePart, CaptureState
from vantel.catalog import Catalog
from vantel.identity import PayloadKind
from vantel_rig.van import Van

DBC = """VERSION ""
BU_: A
BO_ 291 Wheel: 8 A
 SG_ Count : 7|32@0+ (1,0) [0|0] "" A
"""
TRIGGER = 400
BEFORE_S, AFTER_S = 3.0, 25.0
SLACK_NS = 200_000_000
"""Between the clock of the sender and the stamp of the receiver, on a machine that is busy."""


class Counting:
    """Frames that count up, 100 a second, each noted with the time at which it was sent."""

    def __init__(self, port: int) -> None:
        self.sent: list[tuple[int, int]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(port,), daemon=True)
        self._thread.start()

    def _run(self, port: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            while not self._over.wait(0.01):
                data = len(self.sent).to_bytes(4, "big") + bytes(4)
                self.sent.append((time.monotonic_ns(), len(self.sent)))
                out.sendto(struct.pack("<IB3x8s", 291, 8, data), ("127.0.0.1", port))

    def stop(self) -> list[tuple[int, int]]:
        self._over.set()
        self._thread.join()
        return self.sent


def until(what: object, van: Van, timeout_s: float = 90.0) -> None:
    end = time.monotonic() + timeout_s
    while not what():  # type: ignore[operator]
        assert time.monotonic() < end, van.tail()
        time.sleep(0.05)


@pytest.mark.once
def test_a_live_capture_outlives_a_cut_and_a_kill_and_tells_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "van.dbc").write_text(DBC)
    (port,) = free_ports(1)
    source = {"kind": "can", "name": "can0", "interface": "udp", "channel": f"127.0.0.1:{port}", "dbc": str(tmp_path / "van.dbc")}  # fmt: skip
    van = Van(
        "live-1",
        tmp_path,
        NO_BROKER_PORT,
        [source],
        sampler={"rules": [{"signals": ["*"], "period_s_min": 5.0}]},
    )
    campaign = Campaign(
        "count", 1, (Collected("can0.*"),), f"can0.Wheel.Count >= {TRIGGER}", BEFORE_S, AFTER_S, 10**7
    )
    (tmp_path / "state").mkdir()
    CampaignStore(tmp_path / "state", "live-1", "").save(Ledger(InForce((campaign,), generation=1)))
    van.start()
    van.wait_ready()
    folder = tmp_path / "state" / "captures"
    source_of = Counting(port)
    until(lambda: list(folder.glob("*.clip")), van)
    time.sleep(2.0)
    van.kill()
    van.restart()
    (path,) = folder.glob("*.clip")
    until(lambda: (s := clip_file.summary_of(path)) and s.state is not CaptureState.OPEN, van)
    assert van.stop() == 0, van.tail()
    sent = source_of.stop()

    summary = clip_file.summary_of(path)
    assert summary is not None
    assert summary.state is CaptureState.INTERRUPTED
    (gap,) = summary.gaps
    assert gap.reason == "restart"
    parts = [CapturePart.decode(p) for kind, p in clip_file.read(path) if kind == PayloadKind.CAPTURE_PART]
    assert [part.part for part in parts] == list(range(len(parts))), "numbered on, none twice"
    catalog = Catalog.decode(next(p for kind, p in clip_file.read(path) if kind == clip_file.CATALOG))
    counted = catalog.by_name("can0.Wheel.Count").id
    columns = [c for part in parts if not part.last_values for c in codec.decode(part.batch.columns)]
    got = [
        (int(t), int(v))
        for c in columns
        if c.signal_id == counted
        for t, v in zip(c.t_ns, c.values, strict=True)
    ]
    assert len(got) == len({count for _, count in got}), "no sample twice"
    assert not [t for t, _ in got if gap.start_mono_ns <= t < gap.end_mono_ns]
    when = {count: t for t, count in sent}
    assert all(abs(t - when[count]) < SLACK_NS for t, count in got), "each with the time at which it was sent"
    there = {count for _, count in got}
    lost = [t for t, count in sent if count not in there and summary.start_mono_ns + SLACK_NS < t < summary.end_mono_ns - SLACK_NS]  # fmt: skip
    assert lost, "the agent was away"
    assert gap.start_mono_ns - SLACK_NS < min(lost), "nothing is missing before the gap"
    assert max(lost) < gap.end_mono_ns + SLACK_NS, "nor behind it"
    killed = [t for t, _ in got if t < gap.start_mono_ns]
    assert summary.triggers[0].t_mono_ns - killed[0] > (BEFORE_S - 0.1) * 1e9, "the past is there"
    assert killed[-1] > summary.triggers[0].t_mono_ns, "and what was recorded up to the kill"
    up = [p for _, kind, p in spooled(van) if kind is PayloadKind.CAPTURE_PART]
    assert up == [p for kind, p in clip_file.read(path) if kind == PayloadKind.CAPTURE_PART], (
        "the same goes up"
    )
