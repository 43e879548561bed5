"""Is this gap silence or loss? The ledger of one van on the axis of time.

(van, from, to, books) -> spans that say, second for second, whether samples are stored, and if not, why. For P1, which
carries the samples, the spans cover the whole range without overlap; for P0 and P2 there are only those of what is not
stored. Pure: the page, which follows the ledger topic, and `vantel ledger` call the same function.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cloud.ledger.accounts import Books, CloudAccount, VanAccount
from cloud.ledger.sheet import POWER, Backlog, Place, VanReport, places_of
from cloud.ledger.times import NS_A_MS, SeqTimes
from vantel.identity import DeliveryClass, Epoch, StreamKey
from vantel.intervals import IntervalSet
from vantel.payloads import ClassAccount

STORED, SHED, UNACCOUNTED, LOST, EVICTED, REJECTED, WAITING, SILENT, UNHEARD = (
    "stored", "shed", "unaccounted", "lost", "evicted", "rejected", "waiting", "silent", "unheard",
)  # fmt: skip
STATES = {
    STORED: "samples are stored",
    SHED: "samples were dropped before sealing; what was left of them is stored",
    UNACCOUNTED: "nobody can say where the envelopes are",
    LOST: "a power cut took what was not yet synced",
    EVICTED: "the van gave the envelopes up",
    REJECTED: "the cloud refused the envelopes; they are in the dead letters",
    WAITING: "the envelopes are on their way: spooled on the van, or in Kafka",
    SILENT: "the van produced nothing: it was off, or had no samples",
    UNHEARD: "no word from the van yet: it is off or out of reach",
}
"""Every state of a span, in the order in which one covers the other, and its meaning for people."""
OFF, NO_SAMPLES, SPOOLED, IN_KAFKA = "off", "no_samples", "spooled", "in_kafka"
_STATE_OF = {"residual": UNACCOUNTED, "evicted": EVICTED, "rejected": REJECTED, "spooled": WAITING, "in_kafka": WAITING}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of whole seconds, first to last, both in it. envelopes: concerned, an estimate where spans share them.

    reason: one word; of evicted, rejected, shed and lost as the ledger has it; of silent off or no_samples; of waiting
    spooled or in_kafka.
    """

    first_unix_s: int
    last_unix_s: int
    state: str
    reason: str = ""
    delivery_class: str = DeliveryClass.P1.label
    envelopes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Epoch:
    """What is known of one epoch of the van: from its first to its last word, in Unix ms."""

    begin_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class _Painted:
    """Seconds of some envelopes of one stream, before what covers what is decided."""

    state: str
    reason: str
    delivery_class: DeliveryClass
    seconds: IntervalSet
    envelopes: int


def timeline(
    van: str,
    from_unix_s: int,
    to_unix_s: int,
    books: Books,
    backlog: Backlog | None = None,
    report: VanReport | None = None,
) -> list[Span]:
    """Spans of one van from from_unix_s to to_unix_s (both in it), P1 first, each class ascending in time.

    books: the ledger topic. backlog: what lies in Kafka; None where nobody looked: then what was acked and is not stored
    is waiting rather than unaccounted. report: the van's end read from its disk; None: as it last reported.
    ValueError for a range that runs backwards.
    """
    if not 0 <= from_unix_s <= to_unix_s:
        raise ValueError(f"from {from_unix_s} to {to_unix_s} is no range of Unix seconds")
    told = books.vans.get(van, VanAccount(van))
    report = report or VanReport.as_reported(tuple(told.streams.values()))
    accounts = {StreamKey(van, a.epoch, a.delivery_class): a for a in report.accounts}
    clouds = {stream: cloud for stream, cloud in books.clouds.items() if stream.van == van}
    times = _times_of(clouds, backlog or Backlog(), van)
    epochs = _epochs_of(times, {*accounts, *clouds}, told)
    painted: list[_Painted] = []
    for stream in sorted({*accounts, *clouds, *times}):
        places = places_of(
            accounts.get(stream),
            report.spooled.get((stream.epoch, stream.delivery_class), IntervalSet()),
            clouds.get(stream),
            (backlog or Backlog()).seqs.get(stream, IntervalSet()),
        )
        index = times.get(stream, SeqTimes())
        painted += _paint(stream, places, index, epochs[stream.epoch], backlog is not None)
        painted += _cut_of(accounts.get(stream), index, stream)
    whole = IntervalSet([(from_unix_s, to_unix_s)])
    return _layers(whole, painted, clouds, list(epochs.values())) + _others(whole, painted)


def _times_of(
    clouds: Mapping[StreamKey, CloudAccount], backlog: Backlog, van: str
) -> dict[StreamKey, SeqTimes]:
    """Index of every stream: what the cloud has settled, and what lies in Kafka."""
    times = {stream: SeqTimes() for stream in clouds}
    for stream, cloud in clouds.items():
        times[stream].merge(cloud.times.seqs)
    for stream, index in backlog.times.items():
        if stream.van == van:
            times.setdefault(stream, SeqTimes()).merge(index)
    return times


def _epochs_of(
    times: Mapping[StreamKey, SeqTimes], streams: Iterable[StreamKey], told: VanAccount
) -> dict[Epoch, _Epoch]:
    """Extent of each epoch; one of which nothing has a time begins and ends where the one before ended."""
    extents: dict[Epoch, list[tuple[int, int]]] = {stream.epoch: [] for stream in {*streams, *times}}
    for stream, index in times.items():
        if index.extent_ms is not None:
            extents[stream.epoch].append(index.extent_ms)
    epochs: dict[Epoch, _Epoch] = {}
    before_ms = 0
    for epoch in sorted(extents):
        found = extents[epoch]
        begin_ms = min((first for first, _ in found), default=before_ms)
        end_ms = max((last for _, last in found), default=before_ms)
        if epoch == max(extents):
            end_ms = max(end_ms, told.t_unix_ns // NS_A_MS)
        epochs[epoch] = _Epoch(begin_ms, end_ms)
        before_ms = end_ms
    return epochs


def _paint(
    stream: StreamKey, places: list[Place], index: SeqTimes, epoch: _Epoch, looked: bool
) -> list[_Painted]:
    """Places of a stream as seconds."""
    produced = max((last for place in places for _, last in place.seqs), default=-1) + 1
    painted = []
    for place in places:
        if place.state == "stored":
            continue
        state, reason = _STATE_OF[place.state], place.reason
        if state == EVICTED and reason == POWER:
            state = LOST
        if state == WAITING or (state == UNACCOUNTED and not looked):
            state, reason = WAITING, SPOOLED if place.state == "spooled" else IN_KAFKA
        for first, last in place.seqs:
            seconds = IntervalSet()
            for begin_ms, end_ms in index.within(first, last, epoch.begin_ms, (produced, epoch.end_ms)):
                seconds.add(begin_ms // 1000, end_ms // 1000)
            painted.append(_Painted(state, reason, stream.delivery_class, seconds, last - first + 1))
    return painted


def _cut_of(account: ClassAccount | None, index: SeqTimes, stream: StreamKey) -> list[_Painted]:
    """What a power cut may have taken beyond what is known to have existed: up to its bound in seconds."""
    loss = account.power_loss if account is not None else None
    if loss is None:
        return []
    after_ms = max((item.last_ms for item in index if item.last < loss.first), default=0)
    after_ms = max(after_ms, loss.after_unix_ns // NS_A_MS)
    if not after_ms:
        return []
    seconds = IntervalSet([(after_ms // 1000, (after_ms + int(loss.seconds_max * 1000)) // 1000)])
    return [_Painted(LOST, POWER, stream.delivery_class, seconds, 0)]


def _layers(
    whole: IntervalSet,
    painted: list[_Painted],
    clouds: Mapping[StreamKey, CloudAccount],
    epochs: list[_Epoch],
) -> list[Span]:
    """P1, and the samples of all classes: every second of whole in the span of the first state that covers it."""
    free = whole.copy()
    spans: list[Span] = []

    def lay(state: str, reason: str, seconds: IntervalSet, envelopes: int = 0) -> None:
        part = free.intersection(seconds)
        spans.extend(Span(first, last, state, reason, envelopes=envelopes) for first, last in part)
        for first, last in part:
            free.remove(first, last)

    for cloud in clouds.values():
        for reason, seconds in sorted(cloud.times.shed.items()):
            lay(SHED, reason, seconds)
    for cloud in clouds.values():
        lay(STORED, "", cloud.times.covered)
    order = list(STATES)
    for item in sorted(painted, key=lambda item: order.index(item.state)):
        if item.delivery_class is DeliveryClass.P1:
            lay(item.state, item.reason, item.seconds, item.envelopes)
    for epoch in epochs:
        lay(SILENT, NO_SAMPLES, IntervalSet([(epoch.begin_ms // 1000, epoch.end_ms // 1000)]))
    if epochs:
        heard_s = max(epoch.end_ms for epoch in epochs) // 1000
        lay(SILENT, OFF, IntervalSet([(0, heard_s)]))
    lay(UNHEARD, "", whole)
    return _joined(spans)


def _others(whole: IntervalSet, painted: list[_Painted]) -> list[Span]:
    """What is not stored of the classes without samples; spans may overlap."""
    return [
        Span(first, last, item.state, item.reason, item.delivery_class.label, item.envelopes)
        for item in sorted(painted, key=lambda item: item.delivery_class)
        if item.delivery_class is not DeliveryClass.P1 and item.envelopes
        for first, last in item.seconds.intersection(whole)
    ]


def _joined(spans: list[Span]) -> list[Span]:
    """In order of time, neighbours of one state and reason as one."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: span.first_unix_s):
        before = joined[-1] if joined else None
        if before is not None and (before.state, before.reason) == (span.state, span.reason):
            envelopes = before.envelopes + span.envelopes
            span = Span(before.first_unix_s, span.last_unix_s, span.state, span.reason, envelopes=envelopes)  # noqa: PLW2901
            joined.pop()
        joined.append(span)
    return joined


def sentence(span: Span) -> str:
    """A span for people: what happened, for what reason, to how many envelopes."""
    reasons = {
        OFF: "off",
        NO_SAMPLES: "on, without samples",
        SPOOLED: "spooled on the van",
        IN_KAFKA: "in Kafka",
    }
    reason = f"({reasons.get(span.reason, span.reason)})" if span.reason else ""
    told = f", {span.envelopes} envelopes of {span.delivery_class}" if span.envelopes else ""
    return f"{span.state}{reason}{told}: {STATES[span.state]}"
