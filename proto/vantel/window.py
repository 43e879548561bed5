"""When an envelope's content is from: the window of its samples, or the instant of what it reports, in Unix ns.

(envelope, clock stamp) -> Window, by the envelope's own stamps: a pure function of the message, the same on the van
when it gives an envelope up and in the cloud when it stores one, so that both speak of the same stretch of time.
"""

from __future__ import annotations

from typing import NamedTuple

from vantel.envelope import ClockStamp, Envelope, EnvelopeError
from vantel.identity import PayloadKind
from vantel.payloads import Batch, Birth, Event, Health

UNIX_NS_MAX = 1 << 62
"""Stamps beyond it (the year 2116), and those before 1970, place nothing."""


class Window(NamedTuple):
    """Closed range in Unix ns. samples: it holds samples of signals; False for an instant that only was reported."""

    first_unix_ns: int
    last_unix_ns: int
    samples: bool = False

    def joined(self, other: Window) -> Window:
        """The range from the earlier beginning to the later end."""
        return Window(
            min(self.first_unix_ns, other.first_unix_ns),
            max(self.last_unix_ns, other.last_unix_ns),
            self.samples or other.samples,
        )


def window_of(envelope: Envelope, clock: ClockStamp) -> Window | None:
    """The window of an envelope; None for a kind without a time of its own, and for bytes or stamps that say nothing."""
    try:
        first_ns, last_ns, samples = _mono(envelope)
    except (EnvelopeError, TypeError):
        return None
    window = Window(first_ns + clock.offset_ns, last_ns + clock.offset_ns, samples)
    return window if 0 <= window.first_unix_ns <= window.last_unix_ns < UNIX_NS_MAX else None


def _mono(envelope: Envelope) -> tuple[int, int, bool]:
    """(first, last, samples) in monotonic ns; TypeError for a kind without a time."""
    kind = envelope.kind
    if kind is PayloadKind.BATCH:
        batch = Batch.decode(envelope.payload)
        return batch.start_mono_ns, max(batch.end_mono_ns - 1, batch.start_mono_ns), batch.sample_count > 0
    if kind is PayloadKind.EVENT:
        t_ns = Event.decode(envelope.payload).t_mono_ns
    elif kind is PayloadKind.HEALTH:
        t_ns = Health.decode(envelope.payload).t_mono_ns
    elif kind is PayloadKind.BIRTH:
        t_ns = Birth.decode(envelope.payload).t_mono_ns
    else:
        raise TypeError(f"kind {int(kind)} has no time")
    return t_ns, t_ns, False
