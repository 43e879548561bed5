"""The fate of one message: Accept, Reject(reason) or Retry(after). Bad data is a value here, never an exception.

Reasons are one word; they are metric label, dead-letter reason and ledger key at once (docs/format.md names those that
an envelope can have by itself). Only what is listed in RETRYABLE waits in place.
"""

from __future__ import annotations

from dataclasses import dataclass

CATALOG_UNKNOWN = "catalog_unknown"
LINE_REFUSED = "line_refused"
SIGNAL_UNKNOWN = "signal_unknown"
BUNDLE = "bundle"


@dataclass(frozen=True, slots=True)
class Accept:
    """The message is good; what it holds may be written."""


@dataclass(frozen=True, slots=True)
class Reject:
    """The message goes to the dead letters, alone and whole. reason: one word; detail: for people."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Retry:
    """The message cannot be judged yet; look again after so many seconds."""

    after_s: float


Outcome = Accept | Reject | Retry
ACCEPT = Accept()
