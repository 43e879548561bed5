"""What the cloud gets when it asks for a range again, and what is gone. Pure.

Asked: a closed interval of one epoch and class. Each seq of it is one of: again (acked, still on the disk), waiting (not
acked yet, goes anyway), gone for a reason (the eviction's, "space" for what was acked and freed, "never" for what was
not produced).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.spool.account import Account
from vantel.intervals import IntervalSet


@dataclass(frozen=True, slots=True)
class Resent:
    """Answer to a resend. known: the van has an account of the epoch and class."""

    known: bool = False
    again: IntervalSet = field(default_factory=IntervalSet)
    waiting: IntervalSet = field(default_factory=IntervalSet)
    gone: dict[str, IntervalSet] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """For people, one line."""
        if not self.known:
            return "the van has no such epoch any more"
        parts = [f"{self.again.count()} sent again"]
        if self.waiting:
            parts.append(f"{self.waiting.count()} wait anyway")
        gone = [f"{seqs.count()} {reason} ({_spans(seqs)})" for reason, seqs in self.gone.items() if seqs]
        return ", ".join(parts) + ("; gone: " + ", ".join(gone) if gone else "")


SPANS_SHOWN_MAX = 8


def _spans(seqs: IntervalSet) -> str:
    spans = [f"{first}" if first == last else f"{first}-{last}" for first, last in seqs]
    more = len(spans) - SPANS_SHOWN_MAX
    return " ".join(spans[:SPANS_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")


def account_for(account: Account, held: IntervalSet, first: int, last: int) -> Resent:
    """held: seqs of the interval that are in a segment."""
    asked = IntervalSet([(first, last)])
    again = held.intersection(account.acked)
    left = asked.difference(again)
    gone: dict[str, IntervalSet] = {}
    for reason in sorted(account.evicted):
        gone[reason] = left.intersection(account.evicted[reason])
        left = left.difference(gone[reason])
    gone["space"] = left.intersection(account.acked)
    left = left.difference(gone["space"])
    produced = IntervalSet([(0, account.produced - 1)] if account.produced else [])
    gone["never"] = left.difference(produced)
    return Resent(True, again, left.intersection(produced), {r: seqs for r, seqs in gone.items() if seqs})
