"""The spool thread: batches encoded, payloads to disk, births and envelopes that the cloud asks for again, upkeep; wakes the uplink.

The one thread that appends: flash may stall for seconds, and nothing else then waits but the queue in front of it.
rebirth() and resend() are for any thread; requests beyond their bounds are dropped, since whoever asks asks again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import structlog

from edge.batcher import ClosedBatch
from edge.births import Births
from edge.clock.watch import ClockWatch
from edge.commands import resent_outgoing
from edge.queues import BoundedQueue, Outgoing
from edge.spool import Spool
from vantel.commands import Resend
from vantel.envelope import ClockStamp, EnvelopeError

REQUESTS_MAX = 16

_log = structlog.get_logger("agent")


class SpoolThread:
    """run() is its body. replayed, simulated: marks of every envelope. wake: something can be sent.

    stays: asked about a payload before it goes into the spool, True when it must not. kept: called with what is in the
    spool, and its clock. upkeep: its files brought up to date; gives what goes into the spool besides.
    """

    def __init__(
        self,
        spool: Spool,
        outgoing: BoundedQueue[Outgoing | ClosedBatch],
        watch: ClockWatch,
        births: Births,
        now_ns: Callable[[], int],
        wake: Callable[[], None],
        encode: Callable[[Outgoing | ClosedBatch], list[Outgoing]],
        *,
        stays: Callable[[Outgoing, ClockStamp], bool],
        kept: Callable[[Outgoing, ClockStamp], object],
        upkeep: Callable[[ClockStamp], Iterable[Outgoing]],
        replayed: bool,
        simulated: bool,
    ) -> None:
        self._spool, self._outgoing, self._watch, self._births = spool, outgoing, watch, births
        self._now_ns, self._wake, self._encode = now_ns, wake, encode
        self._stays, self._kept, self._upkeep = stays, kept, upkeep
        self._replayed, self._simulated = replayed, simulated
        self._rebirths: deque[tuple[int, ...]] = deque(maxlen=REQUESTS_MAX)
        self._resends: deque[tuple[str, Resend]] = deque(maxlen=REQUESTS_MAX)
        self.beats = 0

    def rebirth(self, hashes: Sequence[int]) -> None:
        """The cloud does not know these catalogs."""
        self._rebirths.append(tuple(hashes))

    def resend(self, command_id: str, resend: Resend) -> None:
        """The cloud wants envelopes again; the result follows in P0."""
        self._resends.append((command_id, resend))

    def run(self, stop: threading.Event) -> None:
        """Until stop is set and everything in the queue is in the spool."""
        while True:
            self.beats += 1
            item = self._outgoing.get(0.1)
            stamp = self._watch.tell()
            if item is not None:
                for payload in self._encode(item):
                    if not self._stays(payload, stamp) and self._append(payload, stamp):
                        self._kept(payload, stamp)
            while self._rebirths:
                for birth in self._births.again(self._rebirths.popleft(), self._now_ns()):
                    self._append(birth, stamp)
            while self._resends:
                command_id, wanted = self._resends.popleft()
                resent = self._spool.resend(wanted.epoch, wanted.delivery_class, wanted.first, wanted.last)
                self._append(resent_outgoing(command_id, resent), stamp)
            for payload in self._upkeep(stamp):
                self._append(payload, stamp)
            self._spool.maintain()
            if item is None and stop.is_set() and not len(self._outgoing):
                return  # nothing can have come in since the look above

    def _append(self, item: Outgoing, stamp: ClockStamp) -> bool:
        """Seal and append; False for a payload that no message can hold: that is told, since nobody could ever send it."""
        try:
            self._spool.append(
                item.delivery_class,
                item.kind,
                item.payload,
                stamp,
                catalog_hash=item.catalog_hash,
                replayed=self._replayed,
                simulated=self._simulated,
                position=item.position,
            )
        except EnvelopeError as cause:
            _log.error("payload not spooled", kind=item.kind.name, bytes=len(item.payload), cause=str(cause))
            return False
        self._wake()
        return True


def log_spool(degraded: str) -> None:
    """One line when the spool leaves the disk, one when it is back."""
    if degraded:
        _log.error(
            "spool degraded",
            cause=degraded,
            effect="envelopes are kept in memory, bounded",
            fix="free the disk",
        )
    else:
        _log.info("spool works again")
