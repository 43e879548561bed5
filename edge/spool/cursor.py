"""Small durable state of the spool: two files written in turn, each complete, numbered and checked.

State <-> JSON with a crc32c line behind it. A write goes to a temporary file, is synced, renamed over the older slot,
and the folder is synced: whatever instant the power fails, the newer or the older slot is whole. A lost cursor costs
resends, never data. Unknown keys are ignored and absent ones have defaults, so that older and newer agents can follow
one another. Raises OSError only from store.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.spool.account import Account, StreamId
from edge.spool.disk import Disk
from vantel.crc32c import crc32c, masked
from vantel.envelope import ClockStamp
from vantel.identity import DeliveryClass, Epoch
from vantel.intervals import IntervalSet
from vantel.payloads import Eviction, PowerLoss, Tombstone

CURSOR_BYTES_MAX = 16 * 1024 * 1024
VERSION = 1


@dataclass
class State:
    """What must outlive the segments. epoch: the newest; position: highest durable; untold: evictions whose tombstone is not yet appended.

    group_bytes_max, group_s_max: what a power cut may take of a class while this epoch runs. boot_since_mono_ns: first
    start of an agent in this boot. clocks: mapping to UTC of the last boots in which it was known.
    """

    van: str = ""
    epoch: Epoch = field(default_factory=lambda: Epoch(0, 0))
    next_segment: int = 1
    position: int = 0
    boot_id: str = ""
    clean: bool = False
    group_bytes_max: int = 0
    group_s_max: float = 0.0
    boot_since_mono_ns: int = 0
    clocks: list[ClockStamp] = field(default_factory=list)
    accounts: dict[StreamId, Account] = field(default_factory=dict)
    untold: list[Tombstone] = field(default_factory=list)


def _account_to_json(account: Account) -> dict[str, Any]:
    item: dict[str, Any] = {
        "epoch": account.epoch.text,
        "class": account.delivery_class.label,
        "produced": account.produced,
        "synced": account.synced,
        "acked": [list(pair) for pair in account.acked],
        "evicted": {
            reason: [list(p) for p in ranges] for reason, ranges in account.evicted.items() if ranges
        },
    }
    if account.power_loss is not None:
        loss = account.power_loss
        item["power_loss"] = [loss.first, loss.bytes_max, loss.seconds_max]
        item["power_loss_after"] = loss.after_unix_ns
    if account.again:
        item["again"] = [list(pair) for pair in account.again]
    return item


def _account_from_json(item: dict[str, Any]) -> Account:
    account = Account(Epoch.from_text(item["epoch"]), DeliveryClass.from_label(item["class"]))
    account.produced = int(item["produced"])
    account.synced = int(item.get("synced", account.produced))
    account.acked = IntervalSet((int(a), int(b)) for a, b in item["acked"])
    account.settled = account.acked.copy()
    for reason, ranges in item.get("evicted", {}).items():
        account.evicted[str(reason)] = IntervalSet((int(a), int(b)) for a, b in ranges)
        account.settled.update(account.evicted[str(reason)])
    account.again = IntervalSet((int(a), int(b)) for a, b in item.get("again", ()))
    if "power_loss" in item:
        first, bytes_max, seconds_max = item["power_loss"]
        after_unix_ns = int(item.get("power_loss_after", 0))
        account.power_loss = PowerLoss(int(first), int(bytes_max), float(seconds_max), after_unix_ns)
    return account


def _tombstone_from_json(item: list[Any], window: list[Any]) -> Tombstone:
    """window: beside the item, not in it, for agents that know five parts only."""
    epoch, label, first, last, reason = item
    eviction = Eviction(int(first), int(last), str(reason))
    begin_ns, end_ns = window
    return Tombstone(
        Epoch.from_text(epoch), DeliveryClass.from_label(label), eviction, int(begin_ns), int(end_ns)
    )


def encode(state: State, generation: int) -> bytes:
    """Content of a slot."""
    body = json.dumps(
        {
            "version": VERSION,
            "generation": generation,
            "van": state.van,
            "epoch": state.epoch.text,
            "next_segment": state.next_segment,
            "position": state.position,
            "boot_id": state.boot_id,
            "clean": state.clean,
            "group_bytes_max": state.group_bytes_max,
            "group_s_max": state.group_s_max,
            "boot_since_mono_ns": state.boot_since_mono_ns,
            "clocks": [[c.boot_id.hex(), c.offset_ns, c.source, c.error_ns_max] for c in state.clocks],
            "accounts": [_account_to_json(a) for a in state.accounts.values()],
            "untold": [
                [t.epoch.text, t.delivery_class.label, t.eviction.first, t.eviction.last, t.eviction.reason]
                for t in state.untold
            ],
            "untold_windows": [[t.first_unix_ns, t.last_unix_ns] for t in state.untold],
        },
        separators=(",", ":"),
    ).encode()
    return body + b"\n%08x\n" % masked(crc32c(body))


def decode(data: bytes) -> tuple[int, State] | None:
    """Inverse of encode: (generation, state), or None for anything damaged."""
    body, newline, check = data[:-10], data[-10:-9], data[-9:-1]
    if len(data) < 11 or newline != b"\n" or check != b"%08x" % masked(crc32c(body)):
        return None
    try:
        raw = json.loads(body)
        accounts = [_account_from_json(item) for item in raw["accounts"]]
        untold = raw.get("untold", [])
        windows = raw.get("untold_windows", [[0, 0]] * len(untold))
        state = State(
            str(raw["van"]), Epoch.from_text(raw["epoch"]), int(raw["next_segment"]), int(raw["position"]),
            str(raw.get("boot_id", "")), bool(raw.get("clean", False)),
            int(raw.get("group_bytes_max", 0)), float(raw.get("group_s_max", 0.0)),
            int(raw.get("boot_since_mono_ns", 0)),
            [ClockStamp(bytes.fromhex(b), int(o), int(s), int(e)) for b, o, s, e in raw.get("clocks", [])],
            {(a.epoch, a.delivery_class): a for a in accounts},
            [_tombstone_from_json(item, window) for item, window in zip(untold, windows, strict=True)],
        )  # fmt: skip
        return int(raw["generation"]), state
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, IndexError, RecursionError):
        return None  # JSON, but not of this shape


class Slots:
    """Two slot files name-0 and name-1 in one folder."""

    def __init__(self, disk: Disk, directory: Path, name: str) -> None:
        self._disk = disk
        self._directory = directory
        self._name = name
        self.generation = 0
        self.damaged = 0

    def _path(self, generation: int) -> Path:
        return self._directory / f"{self._name}-{generation % 2}"

    def load(self) -> State | None:
        """Newest whole slot; None when there is none. Counts damaged slots."""
        best: State | None = None
        self.generation, self.damaged = 0, 0
        for slot in (0, 1):
            try:
                found = decode(self._disk.read(self._path(slot), 0, CURSOR_BYTES_MAX))
            except FileNotFoundError:
                continue
            except OSError:
                found = None
            if found is None:
                self.damaged += 1
            elif best is None or found[0] > self.generation:
                self.generation, best = found
        return best

    def store(self, content: bytes) -> None:
        """Make content, encoded for generation + 1, durable in the older slot. OSError leaves the newer one."""
        generation = self.generation + 1
        temporary = self._directory / f"{self._name}.tmp"
        with contextlib.suppress(FileNotFoundError):
            self._disk.unlink(temporary)
        fd = self._disk.create(temporary)
        try:
            self._disk.write_all(fd, content, 0)
            self._disk.sync(fd)
        finally:
            self._disk.close(fd)
        self._disk.rename(temporary, self._path(generation))
        self._disk.sync_dir(self._directory)
        self.generation = generation
