"""What must be true of every run, whatever the weather was: the promises of docs/architecture.md, one by one.

Looks at both ends from outside: what the vans were promised (append returned), what their disks say, what lies in the
simulated Kafka and InfluxDB. Each violation names the promise, the van and the interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cloud.kafka.topics import BY_CLASS, DEADLETTER, LEDGER
from cloud.ledger.accounts import Books
from cloud.ledger.sheet import LedgerReport, VanReport, evicted_of, join
from cloud.worker.letters import DeadLetter
from cloud.worker.outcome import LINE_REFUSED, Reject
from cloud.worker.steps.open import open_bundle, open_incoming
from edge.spool import Spool
from vantel.crc32c import crc32c
from vantel.envelope import EnvelopeError, open_message
from vantel.identity import DeliveryClass, StreamKey
from vantel.intervals import IntervalSet
from vantel_rig.sim.influx import Influx, Key, parse
from vantel_rig.sim.kafka import Kafka
from vantel_rig.sim.load import Truth
from vantel_rig.sim.van import MAINTAIN_S, ROOT, SimVan

FILES_BESIDE_SEGMENTS = 2
"""A segment being written and one being replaced may stand beside the quota."""


@dataclass(frozen=True)
class Violation:
    """A broken promise. interval: the sequence numbers, as text."""

    promise: str
    van: str
    interval: str
    detail: str


class Sightings:
    """What the broker saw of each envelope: its clock stamp and its bytes must never change."""

    def __init__(self) -> None:
        self.stamps: dict[tuple[StreamKey, int], tuple[bytes, int]] = {}
        self._sums: dict[tuple[StreamKey, int], int] = {}
        self.changed: list[Violation] = []

    def see(self, topic: str, payload: bytes) -> None:
        """A PUBLISH of a van."""
        if topic.endswith("death"):
            return
        envelope, clock = open_message(payload)
        key, stamp, checksum = (
            (envelope.stream, envelope.seq),
            (clock.boot_id, clock.offset_ns),
            crc32c(payload),
        )
        if self._sums.setdefault(key, checksum) != checksum:
            same = self.stamps[key] == stamp
            what = (
                "2 an identity stands for one envelope"
                if same
                else "8 a clock stamp never changes after the first send"
            )
            self.changed.append(
                Violation(
                    what, envelope.van, str(envelope.seq), f"{envelope.stream.text} sent twice, differently"
                )
            )
        self.stamps.setdefault(key, stamp)


@dataclass
class Ends:
    """Both ends of the pipe when all is over."""

    vans: list[SimVan]
    kafka: Kafka
    influx: Influx
    sightings: Sightings
    reports: dict[str, VanReport]
    books: Books

    @classmethod
    def read(cls, vans: list[SimVan], kafka: Kafka, influx: Influx, sightings: Sightings) -> Ends:
        """From the disks and from Kafka, as `vantel ledger` does."""
        reports = {}
        for van in vans:
            report = Spool.inspect(ROOT, van.disk.killed())
            reports[van.id] = VanReport(report.accounts, report.spooled)
        books = Books()
        for tp in kafka.logs:
            if tp.topic == LEDGER:
                for record in filter(None, kafka.logs[tp]):
                    books.absorb((record.key or b"").decode(), record.value or b"")
        return cls(vans, kafka, influx, sightings, reports, books)

    def ledger(self) -> LedgerReport:
        """The joined sheet."""
        return join(self.reports, self.books.clouds, {})


def violations(ends: Ends) -> Iterator[Violation]:
    """All broken promises."""
    yield from ends.sightings.changed
    ledger = ends.ledger()
    for stream, gaps in sorted(ledger.residual_at.items()):
        yield Violation(
            "1 the residual is 0", stream.van, f"{stream.text} {list(gaps)}", "nobody can account for them"
        )
    yield from _in_kafka(ends)
    for van in ends.vans:
        yield from _fates(ends, van)
        yield from _told(ends, van)
        yield from _bounds(van)
    yield from _points(ends)
    yield from _letters(ends)


def _in_kafka(ends: Ends) -> Iterator[Violation]:
    """What a van holds for acked is in Kafka."""
    there: dict[StreamKey, IntervalSet] = {}
    for tp, log in ends.kafka.logs.items():
        if tp.topic not in BY_CLASS.values():
            continue
        for record in filter(None, log):
            opened = open_bundle(tp.topic, record.value)
            for incoming in [] if isinstance(opened, Reject) else opened:
                message = open_incoming(incoming)
                if not isinstance(message, Reject):
                    there.setdefault(message[0].stream, IntervalSet()).add(message[0].seq)
    for van, report in sorted(ends.reports.items()):
        for account in report.accounts:
            stream = StreamKey(van, account.epoch, account.delivery_class)
            lost = account.acked.difference(there.get(stream, IntervalSet()))
            if lost:
                yield Violation(
                    "3 acked is stored in Kafka",
                    van,
                    f"{stream.text} {list(lost)}",
                    "acked, but not in Kafka",
                )


def _fates(ends: Ends, van: SimVan) -> Iterator[Violation]:
    """Every envelope that append() returned for has a fate that was earned."""
    accounts = {(a.epoch, a.delivery_class): a for a in ends.reports[van.id].accounts}
    for stream, truths in sorted(van.truths.items()):
        cloud = ends.books.clouds.get(StreamKey(van.id, *stream))
        stored = cloud.stored if cloud else IntervalSet()
        rejected = cloud.rejected_all if cloud else IntervalSet()
        account = accounts.get(stream)
        evicted = {e.reason: IntervalSet() for e in account.evicted} if account else {}
        for eviction in account.evicted if account else ():
            evicted[eviction.reason].add(eviction.first, eviction.last)
        power_from = account.power_loss.first if account and account.power_loss else None
        for seq, truth in sorted(truths.items()):
            at = f"{StreamKey(van.id, *stream).text} {seq}"
            if seq in stored:
                if truth.bad:
                    yield Violation("6 bad data is rejected", van.id, at, "nonsense was stored")
                continue
            if seq in rejected:
                reasons = [reason for reason, seqs in cloud.rejected.items() if seq in seqs] if cloud else []
                if (
                    reasons == ["catalog_unknown"]
                    and truth.catalog
                    and truth.catalog.hash not in van.catalogs
                ):
                    continue  # the agent died before its birth was sent, and its disk had refused to keep the catalog
                if not truth.bad and reasons != ["line_refused"]:
                    yield Violation(
                        "6 bad data goes alone", van.id, at, f"good {truth.kind} rejected as {reasons}"
                    )
                continue
            if seq in ends.reports[van.id].spooled.get(stream, IntervalSet()):
                continue
            reason = next((reason for reason, seqs in evicted.items() if seq in seqs), "")
            if not reason and power_from is not None and seq >= power_from:
                reason = "power"
            yield from _earned(van, stream[0], stream[1], truth, reason, at)


def _earned(
    van: SimVan, epoch: object, delivery_class: DeliveryClass, truth: Truth, reason: str, at: str
) -> Iterator[Violation]:
    """Whether an envelope that is nowhere may be gone for this reason."""
    cut_s = van.cuts.get(epoch)  # type: ignore[call-overload]
    if truth.fragile or (not reason and van.disk.failed_calls and not truth.durable):
        return  # the disk failed and the agent said so: what was in memory only went with the process
    if reason in ("quota", "disk_full", "memory"):
        return
    if reason in ("power", "corrupt", "cursor_lost") and not van.disk.failed_calls:
        if truth.durable:
            yield Violation("1 P0 survives everything", van.id, at, f"{truth.kind} gone as {reason}")
        elif cut_s is None:
            yield Violation(
                "1 only a power cut costs unsynced data", van.id, at, f"{truth.kind} gone as {reason}"
            )
        elif cut_s - truth.t_s > van.settings.group_s_max + MAINTAIN_S:
            yield Violation("1 a power cut costs one group at most", van.id, at,
                            f"{truth.kind} appended {cut_s - truth.t_s:.2f} s before the cut")  # fmt: skip
    elif not reason:
        yield Violation(
            "1 nothing is lost in silence", van.id, at, f"{truth.kind} of {delivery_class.label} is nowhere"
        )
    elif truth.durable and not van.disk.failed_calls:
        yield Violation("1 P0 survives everything", van.id, at, f"{truth.kind} gone as {reason}")


def _told(ends: Ends, van: SimVan) -> Iterator[Violation]:
    """Every eviction has reached the cloud."""
    known = ends.books.vans.get(van.id)
    for account in ends.reports[van.id].accounts:
        heard = known.streams.get((account.epoch, account.delivery_class)) if known else None
        told = evicted_of(heard) if heard else IntervalSet()
        silent = evicted_of(account).difference(told, heard.acked if heard else IntervalSet())
        if silent:
            stream = StreamKey(van.id, account.epoch, account.delivery_class)
            yield Violation(
                "1 every eviction is told",
                van.id,
                f"{stream.text} {list(silent)}",
                "the cloud never heard of it",
            )


def _bounds(van: SimVan) -> Iterator[Violation]:
    """The disk cap."""
    section = van.settings
    bound = section.bytes_max + FILES_BESIDE_SEGMENTS * section.segment_bytes_max
    if van.disk.peak_bytes > bound:
        yield Violation(
            "7 the disk cap is never passed", van.id, "", f"{van.disk.peak_bytes} bytes, bound {bound}"
        )


def _points(ends: Ends) -> Iterator[Violation]:
    """The database holds what the stored envelopes stand for, all of it, and nothing else."""
    refused = {_known(key) for line in ends.influx.refused for key, _ in parse(line)}
    found_at = {_known(key): value for key, value in ends.influx.points.items()}
    may: set[Key] = set()
    for van in ends.vans:
        items = [(s, seq, truth) for s, truths in van.truths.items() for seq, truth in truths.items()]
        items += [(s, seq, truth) for (s, seq), truth in van.maybe.items()]
        for stream, seq, truth in items:
            key = StreamKey(van.id, *stream)
            seen = ends.sightings.stamps.get((key, seq))
            if seen is None:
                continue
            boot_id, offset_ns = seen
            if offset_ns not in van.told.get(boot_id, ()):
                yield Violation(
                    "8 a stamp is one of its boot",
                    van.id,
                    f"{key.text} {seq}",
                    f"offset {offset_ns} was never told",
                )
            cloud = ends.books.clouds.get(key)
            is_stored = cloud is not None and seq in cloud.stored
            missing, expected = 0, truth.expected
            for series, t_ns, name, text in expected:
                point = _known((f"{series},van={van.id}", t_ns + offset_ns, name))
                may.add(point)
                found = found_at.get(point)
                missing += is_stored and found != text and not (found is None and point in refused)
            if missing:
                yield Violation("5 content is that of the undisturbed run", van.id, f"{key.text} {seq}",
                                f"{missing} of {len(expected)} fields of a stored {truth.kind} are missing or differ")  # fmt: skip
    phantoms = [key for key in found_at if _is_judged(key) and key not in may]
    if phantoms:
        yield Violation(
            "5 nothing is stored that was not produced",
            phantoms[0][0],
            "",
            f"{len(phantoms)} points, {phantoms[0]}",
        )


def _known(key: Key) -> Key:
    """The oracle knows the time of an event to the microsecond."""
    series, t_ns, name = key
    return (series, t_ns // 1000, name) if series.startswith("events") else key


def _is_judged(key: Key) -> bool:
    """Whether the oracle knows this field at all."""
    if key[0].startswith("events"):
        return key[2] in ("value", "channel")
    return not key[0].startswith("agent")


def _letters(ends: Ends) -> Iterator[Violation]:
    """What the ledger calls rejected lies in the dead letters, whole."""
    there: dict[StreamKey, IntervalSet] = {}
    for letter in letters_of(ends.kafka):
        try:
            envelope, _ = open_message(letter.message)
        except EnvelopeError:
            continue  # a refused line
        there.setdefault(envelope.stream, IntervalSet()).add(envelope.seq)
    for stream, account in sorted(ends.books.clouds.items()):
        for reason, seqs in sorted(account.rejected.items()):
            lost = seqs.difference(there.get(stream, IntervalSet()))
            if lost and reason != LINE_REFUSED:
                yield Violation("6 what is rejected is kept whole", stream.van, f"{stream.text} {list(lost)}",
                                f"rejected as {reason}, but no dead letter holds them")  # fmt: skip
    refused = {letter.message.decode() for letter in letters_of(ends.kafka) if letter.reason == LINE_REFUSED}
    good = sorted(refused - ends.influx.refused)
    if good:
        yield Violation(
            "6 bad data goes alone", "", "", f"{len(good)} good lines were given up, such as {good[0]}"
        )
    lost_lines = sorted(ends.influx.refused - refused)
    if lost_lines:
        yield Violation(
            "6 what is rejected is kept whole", "", "", f"{len(lost_lines)} refused lines have no dead letter"
        )


def letters_of(kafka: Kafka) -> list[DeadLetter]:
    """All dead letters."""
    return [
        DeadLetter.decode(record.value or b"")
        for tp, log in kafka.logs.items()
        if tp.topic == DEADLETTER
        for record in filter(None, log)
    ]
