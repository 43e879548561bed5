"""Whether the uplink gets anywhere. Pure: time and randomness come in.

From beats, answers and acks to two verdicts. must_rebuild: a connection stood for stalled_after_s (doubled each time
in a row, spread over half as much again, so that a fleet does not return as one) with envelopes waiting and none of
them acked: a new connection is worth a try. stalled: the thread itself no longer beats, or two connections in a row
gave no answer to messages that were sent: the agent should be restarted. A broker that answers while the cloud acks
nothing is an outage of the cloud: restarting the agent of the van would only cost samples.
"""

from __future__ import annotations

from random import Random

DOUBLINGS_MAX = 4
SILENT_REBUILDS_MAX = 2


class Progress:
    """Books of the uplink thread; stalled() may be read by any thread. Times in monotonic seconds."""

    def __init__(self, stalled_after_s: float, beat_s_max: float, rng: Random) -> None:
        self._stalled_after_s, self._beat_s_max, self._rng = stalled_after_s, beat_s_max, rng
        self._limit_s = stalled_after_s
        self._beat_s: float | None = None
        self._moved_s = 0.0
        self._rebuilds = 0
        self._silent_rebuilds = 0
        self._answers = 0
        self.text = ""

    def beat(self, now_s: float) -> None:
        """The thread is alive."""
        self._beat_s = now_s

    def connected(self, now_s: float) -> None:
        """A new connection has its own time."""
        self._beat_s = self._moved_s = now_s
        self._answers = 0
        doublings = 2.0 ** min(self._rebuilds, DOUBLINGS_MAX)
        self._limit_s = self._stalled_after_s * doublings * self._rng.uniform(1.0, 1.5)

    def answered(self) -> None:
        """The broker answered a message, with whatever reason code."""
        self._answers += 1
        self._silent_rebuilds = 0

    def acked(self, now_s: float) -> None:
        """The cloud acked something that waited."""
        self._moved_s = now_s
        self._rebuilds = self._silent_rebuilds = 0

    def must_rebuild(self, now_s: float, waiting: bool, unanswered: int) -> bool:
        """Beat, and whether the connection has had its time.

        waiting: the spool holds envelopes without durable ack; unanswered: messages that the broker owes a PUBACK.
        """
        self._beat_s = now_s
        if not waiting:
            self._moved_s = now_s
            self._rebuilds = self._silent_rebuilds = 0
        waited_s = now_s - self._moved_s
        if waited_s < self._limit_s:
            return False
        self._moved_s = now_s
        self._rebuilds += 1
        if unanswered and not self._answers:
            self._silent_rebuilds += 1
            self.text = (
                f"the broker answered none of {unanswered} messages for {waited_s:.0f} s; look at its log"
            )
        else:
            self.text = f"no durable ack for {waited_s:.0f} s; are bridge and Kafka running?"
        return True

    def stalled(self, now_s: float) -> bool:
        """The agent should be restarted."""
        late = self._beat_s is not None and now_s - self._beat_s > self._beat_s_max
        return late or self._silent_rebuilds >= SILENT_REBUILDS_MAX
