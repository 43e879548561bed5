"""The pipeline: blocks of samples in, payloads for the spool out. Pure: owned by one thread, no clock, no I/O.

take(): ordering -> fault injector -> rings. judge(): health events, detector -> campaigns -> sampler -> batcher. Every block is taken
at once and may be judged with others, for a stage costs less on one large block than on many small ones; what comes out is the
same. encode() is the codec: it touches no state, and the spool thread calls it, so that rings and detector never wait for it. What lies before resume_position of a replay runs
through everything but the batcher and the output, so that ring, detector and the state of the injector are those of an
undisturbed run (docs/architecture.md, "Restart of a replay").
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from edge.batch_columns import plan_of
from edge.batcher import Batcher, ClosedBatch
from edge.campaign.run import CampaignRun, Ledger
from edge.capture.body import BodyEncoder
from edge.capture.recorder import Recorder
from edge.detector import Detector
from edge.faults import FaultInjector
from edge.health_events import HealthEvents
from edge.model import SampleBlock, TextTable
from edge.ordering import Ordering
from edge.queues import Outgoing
from edge.rings import Rings
from edge.sampler import Sampler
from edge.settings import EdgeSettings
from vantel import codec
from vantel.catalog import Catalog
from vantel.columns import Column
from vantel.identity import DeliveryClass, PayloadKind
from vantel.payloads import Batch, CoordinateSystem, Event

POSITION_SIGNALS = frozenset({"Vehicle.CurrentLocation.Latitude", "Vehicle.CurrentLocation.Longitude"})
"""Signals whose numbers mean nothing without a datum: a batch that holds one names it."""

PAYLOAD_BYTES_MAX = 192 * 1024
"""A batch whose columns come out larger is halved; well below MESSAGE_BYTES_MAX."""


class Pipeline:
    """All state between the sources and the spool."""

    def __init__(
        self,
        catalog: Catalog,
        settings: EdgeSettings,
        texts: TextTable,
        offset_ns: int,
        resume_position: int,
        campaigns: Ledger | None = None,
    ) -> None:
        self._catalog = catalog
        self._plan = plan_of(catalog)
        self._slots = {signal.id: slot for slot, signal in enumerate(catalog.signals)}
        self._resume_position = resume_position
        self._ordering = Ordering(len(catalog))
        self._faults = FaultInjector(list(settings.faults), catalog)
        self._rings = Rings(len(catalog), settings.ring)
        self._detector = Detector(catalog, settings.detector, offset_ns)
        self._health = HealthEvents(catalog)
        self._sampler = Sampler(catalog, settings.sampler, offset_ns)
        self._watched_until_ns = 0
        self._batcher = Batcher(catalog, settings.batch, texts, offset_ns)
        self._datum = CoordinateSystem[settings.van.coordinate_system.upper()]
        self._position_ids = {signal.id for signal in catalog.signals if signal.name in POSITION_SIGNALS}
        body = BodyEncoder(catalog, texts, self._datum, self._position_ids)
        ids = np.array([signal.id for signal in catalog.signals], np.int64)
        recorder = Recorder(self._rings, ids, catalog.hash, body)
        self.campaigns = CampaignRun(catalog, self._rings, recorder, campaigns or Ledger(), offset_ns)
        self.offset_ns = offset_ns
        self.samples_produced = 0
        self.events_produced = 0

    @property
    def faults(self) -> FaultInjector:
        """The injector, so that a rig can add faults while running."""
        return self._faults

    @property
    def detector(self) -> Detector:
        """The detector, so that what it learned outlives the process."""
        return self._detector

    @property
    def rings(self) -> Rings:
        """The past of every signal."""
        return self._rings

    @property
    def samples_thinned(self) -> int:
        """Samples that the sampler left out of batches so far."""
        return self._sampler.samples_thinned

    def watch(self, until_t_mono_ns: int | None) -> None:
        """A person watches the van until this stream time; None: nobody does any more."""
        self._watched_until_ns = until_t_mono_ns or 0
        if until_t_mono_ns is None:
            self._batcher.end_watch()
        else:
            self._batcher.watch(until_t_mono_ns)

    def step(self, block: SampleBlock, shed: dict[str, int] | None = None) -> list[Outgoing | ClosedBatch]:
        """Take a block and judge it alone."""
        return self.judge(self.take(block), shed)

    def take(self, block: SampleBlock) -> SampleBlock:
        """Put a block into the rings; the block as judge() wants it."""
        block = self._faults.apply(self._ordering.apply(block))
        self._rings.push(block)
        return block

    def judge(self, block: SampleBlock, shed: dict[str, int] | None = None) -> list[Outgoing | ClosedBatch]:
        """Judge what was taken, in the order of taking; return what goes to the spool, events before the batch that holds
        their samples."""
        repeated = 0 < block.position <= self._resume_position
        events = [*self._health.step(block), *self._detector.step(block)]
        captured = self.campaigns.step(block, events)
        for event in events:
            self._batcher.note_event(event.t_mono_ns)
        # who watches gets every sample
        watched = len(block) > 0 and int(block.t_mono_ns[-1]) < self._watched_until_ns
        block = self._sampler.apply(block, all_kept=watched)
        if repeated:
            return list(captured)  # a capture that was not whole yet is made again, under the same id
        # what a dropout or the sampler took away does not count
        self.samples_produced += int(np.count_nonzero(block.slot >= 0))
        out = [self._event(event) for event in events]
        closed = self._batcher.add(block)
        if closed and shed:
            told = Counter(closed[0].shed) + Counter(shed)
            closed[0] = replace(closed[0], shed=dict(told))
            shed.clear()
        return [*out, *captured, *closed]

    def idle(self, t_mono_ns: int) -> list[Outgoing | ClosedBatch]:
        """Nothing arrived until t_mono_ns: silence time-outs, and windows whose end has passed."""
        out = [self._event(event) for event in self._detector.idle(t_mono_ns)]
        return [*out, *self.campaigns.idle(t_mono_ns), *self._batcher.flush(t_mono_ns)]

    def rebase(self, offset_ns: int) -> list[Outgoing | ClosedBatch]:
        """The clock has jumped: what is open is cut, windows follow the new time."""
        self.offset_ns = self.campaigns.offset_ns = offset_ns
        self._detector.rebase(offset_ns)
        return list(self._batcher.rebase(offset_ns))

    def close(self) -> list[Outgoing | ClosedBatch]:
        """The last, partial window, and what there is of open captures."""
        return [*self.campaigns.close(), *self._batcher.close()]

    def _event(self, event: Event) -> Outgoing:
        marked = replace(event, injected=self._faults.mark_at(self._slots[event.signal_id], event.t_mono_ns))
        self.events_produced += 1
        return Outgoing(DeliveryClass.P0, PayloadKind.EVENT, marked.encode(), self._catalog.hash)

    def encode(self, item: Outgoing | ClosedBatch) -> list[Outgoing]:
        """What of an item goes into the spool. A batch that comes out too large is halved, and only the last part moves
        the position. For any thread."""
        if isinstance(item, Outgoing):
            return [item]
        payloads = self._encode(item, item.columns, item.shed)
        last = len(payloads) - 1
        return [
            Outgoing(
                DeliveryClass.P1,
                PayloadKind.BATCH,
                payload,
                self._catalog.hash,
                item.position if at == last else 0,
            )
            for at, payload in enumerate(payloads)
        ]

    def _encode(self, closed: ClosedBatch, columns: list[Column], shed: dict[str, int]) -> list[bytes]:
        samples = sum(len(column.t_ns) for column in columns)
        encoded = codec.encode(columns, plan=self._plan)
        if len(encoded) > PAYLOAD_BYTES_MAX and samples > len(columns):
            halves = split_columns(columns)
            return self._encode(closed, halves[0], shed) + self._encode(closed, halves[1], {})
        located = any(column.signal_id in self._position_ids for column in columns)
        batch = Batch(
            closed.start_mono_ns,
            closed.end_mono_ns,
            encoded,
            samples,
            closed.fidelity,
            self._datum if located else CoordinateSystem.NONE,
            shed,
        )
        return [batch.encode()]


def split_columns(columns: list[Column]) -> tuple[list[Column], list[Column]]:
    """Halve every column in time; empty halves are left out."""
    halves: tuple[list[Column], list[Column]] = ([], [])
    for column in columns:
        middle = (len(column.t_ns) + 1) // 2
        for half, part in ((halves[0], slice(None, middle)), (halves[1], slice(middle, None))):
            if len(column.t_ns[part]):
                quality = None if column.quality is None else column.quality[part]
                half.append(Column(column.signal_id, column.t_ns[part], column.values[part], quality))
    return halves
