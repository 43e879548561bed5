"""A spool under test with a memory of what it promised, and the checks that every restart must pass."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from edge.settings import SpoolSection
from edge.spool import Spool
from edge.spool.disk import Disk
from vantel.acks import Ack
from vantel.envelope import ClockStamp, open_message
from vantel.identity import DeliveryClass, Epoch, PayloadKind
from vantel.intervals import IntervalSet
from vantel.payloads import ClassAccount, Tombstone

CLOCK = ClockStamp(b"0123456789abcdef", 1_700_000_000_000_000_000, 3, 1000)
VAN = "van-1"
ROOT = Path("/state/spool")
Stream = tuple[Epoch, DeliveryClass]


def settings(**changes: float) -> SpoolSection:
    """Small bounds, below what a user may set, so that everything rolls and fills within a short run."""
    values = {
        "segment_bytes_max": 4096, "bytes_max": 1 << 30, "p0_reserve_bytes": 8192, "keep_free_bytes": 0,
        "group_s_max": 1.0, "group_bytes_max": 2048, "cursor_period_s": 0.0,
    }  # fmt: skip
    return SpoolSection.model_construct(**{**values, **changes})


@dataclass
class Run:
    """What was promised over all epochs: payload by stream and seq, acks given, positions."""

    disk: Disk
    root: Path = ROOT
    section: SpoolSection = field(default_factory=settings)
    promised: dict[Stream, list[bytes]] = field(default_factory=dict)
    acked: dict[Stream, IntervalSet] = field(default_factory=dict)
    epochs: list[Epoch] = field(default_factory=list)
    position: int = 0
    spool: Spool = field(init=False)

    def start(self) -> Spool:
        self.spool = Spool.open(self.root, VAN, self.section, self.disk)
        self.epochs.append(self.spool.epoch)
        return self.spool

    def append(self, delivery_class: DeliveryClass, payload: bytes) -> int:
        self.position += delivery_class is not DeliveryClass.P0
        stream = (self.spool.epoch, delivery_class)
        produced = self.produced()
        seq = self.spool.append(
            delivery_class,
            PayloadKind.BATCH,
            payload,
            CLOCK,
            position=0 if delivery_class is DeliveryClass.P0 else self.position,
        )
        assert seq == produced.get(stream, 0)
        self.promised.setdefault(stream, []).append(payload)
        return seq

    def produced(self) -> dict[Stream, int]:
        return {(a.epoch, a.delivery_class): a.produced for a in self.spool.accounts()}

    def note_tombstones(self) -> None:
        """The spool appends P0 tombstones by itself: learn them, so that promised stays complete."""
        stream = (self.spool.epoch, DeliveryClass.P0)
        known = self.promised.setdefault(stream, [])
        for account in self.spool.accounts():
            if (account.epoch, account.delivery_class) == stream:
                known.extend([b""] * (account.produced - len(known)))

    def maintain(self) -> None:
        self.spool.maintain()
        self.note_tombstones()

    def ack(self, stream: Stream, first: int, last: int) -> int:
        self.acked.setdefault(stream, IntervalSet()).add(first, last)
        return self.spool.ack(Ack(VAN, {stream: IntervalSet([(first, last)])}))

    def random_step(self, rng: random.Random) -> None:
        """One append, ack or round of upkeep."""
        choice = rng.random()
        if choice < 0.75:
            delivery_class = rng.choice(list(DeliveryClass))
            self.append(delivery_class, rng.randbytes(rng.choice((0, 5, 60, 300, 900, 2500))))
        elif choice < 0.87 and self.promised:
            stream = rng.choice([s for s, items in self.promised.items() if items] or [None])  # type: ignore[list-item]
            if stream is not None:
                first = rng.randrange(len(self.promised[stream]))
                self.ack(stream, first if rng.random() < 0.3 else 0, first)
        else:
            self.maintain()

    def contents(self) -> dict[Stream, dict[int, bytes]]:
        """Everything that waits, read as the uplink would; checks each message against what was promised."""
        found: dict[Stream, dict[int, bytes]] = {}
        for delivery_class in DeliveryClass:
            after = -1
            while (entry := self.spool.next_after(delivery_class, after)) is not None:
                assert entry.ordinal > after
                after = entry.ordinal
                message = self.spool.load(entry)
                if message is None:
                    continue
                assert len(message) == entry.bytes
                envelope, clock = open_message(message)
                assert (envelope.epoch, envelope.delivery_class) == entry.stream
                assert (envelope.van, envelope.seq, clock) == (VAN, entry.seq, CLOCK)
                if envelope.kind is PayloadKind.TOMBSTONE:
                    Tombstone.decode(envelope.payload)
                else:
                    assert envelope.payload == self.promised[entry.stream][entry.seq]
                assert entry.seq not in found.setdefault(entry.stream, {})
                found[entry.stream][entry.seq] = envelope.payload
        return found

    @staticmethod
    def _check_told(account: ClassAccount | None, items: list[bytes], lost_bytes_max: int | None) -> None:
        """What the disk no longer knows of lies in the interval that the account tells, within its bounds."""
        forgotten = sum(len(payload) for payload in items[account.produced if account else 0 :])
        if not forgotten or lost_bytes_max is None:
            return
        assert account is not None
        assert account.power_loss is not None, "gone without a word"
        assert account.power_loss.first == account.produced
        assert forgotten <= account.power_loss.bytes_max

    def check(
        self, *, lost_bytes_max: int | None = 0, p0_safe: bool = True
    ) -> dict[Stream, dict[int, bytes]]:
        """After a restart: nothing invented, nothing lost beyond the bound, accounts that add up."""
        found = self.contents()
        spooled = {stream: IntervalSet((seq, seq) for seq in items) for stream, items in found.items()}
        accounts = {(a.epoch, a.delivery_class): a for a in Spool.inspect(self.root, self.disk).accounts}
        accounts |= {(a.epoch, a.delivery_class): a for a in self.spool.accounts()}
        for stream, account in accounts.items():
            given = self.acked.get(stream, IntervalSet())
            assert not account.acked.difference(given), "acked what the cloud never acked"
            evicted = IntervalSet((e.first, e.last) for e in account.evicted)
            parts = account.acked.count() + evicted.count() + spooled.get(stream, IntervalSet()).count()
            assert parts == account.produced, (stream, account, spooled.get(stream))
            assert account.produced <= len(self.promised.get(stream, []))
        for stream, items in self.promised.items():
            account = accounts.get(stream)
            settled = self.acked.get(stream, IntervalSet()).copy()
            for eviction in account.evicted if account else ():
                if eviction.reason not in ("power", "corrupt"):
                    settled.add(eviction.first, eviction.last)
            lost = [s for s in range(len(items)) if s not in settled and s not in found.get(stream, {})]
            self._check_told(account, items, lost_bytes_max)
            if stream[1] is DeliveryClass.P0 and p0_safe:
                assert not lost, f"P0 lost: {stream} {lost}"
            elif lost_bytes_max is not None:
                size = sum(len(items[seq]) for seq in lost)
                assert size <= lost_bytes_max, f"{stream}: {len(lost)} lost, {size} bytes"
        return found
