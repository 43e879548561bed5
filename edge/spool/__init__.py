"""The spool of the van: envelopes on disk until the cloud has them (see edge.spool.spool)."""

from __future__ import annotations

from edge.spool.index import Entry
from edge.spool.inspection import SpoolReport
from edge.spool.recovery import Recovery
from edge.spool.resend import Resent
from edge.spool.spool import Spool, SpoolLockedError

__all__ = ["Entry", "Recovery", "Resent", "Spool", "SpoolLockedError", "SpoolReport"]
