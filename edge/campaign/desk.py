"""Where campaign sets arrive: judged in the uplink's thread, which may wait, and handed to the pipeline's.

put() for the uplink thread, take() for the pipeline. The newest verdict counts: an older one that nobody took yet is
contained in it.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edge.campaign.judge import InForce, Limits, judge
from vantel.campaign.signature import public_keys
from vantel.catalog import Catalog

_log = structlog.get_logger("campaigns")


def keys_of(path: Path | None) -> tuple[Ed25519PublicKey, ...]:
    """The operators' public keys. ValueError names the file and what is wrong."""
    if path is None:
        return ()
    try:
        return public_keys(path.read_bytes())
    except OSError as cause:
        raise ValueError(f"campaign.keys_file {path}: {cause.strerror}") from None
    except ValueError as cause:
        raise ValueError(
            f"campaign.keys_file {path}: {cause}; it holds public keys in PEM, one after the other"
        ) from None


class CampaignDesk:
    """One van's."""

    def __init__(self, catalog: Catalog, limits: Limits, now: InForce) -> None:
        self._catalog, self._limits, self._now = catalog, limits, now
        self._verdicts: deque[InForce] = deque(maxlen=1)

    def put(self, data: bytes) -> None:
        """A set came down."""
        if not data:
            return  # a retained message that was cleared: what is in force stays, revoking is a set without it
        verdict = judge(data, self._now, self._catalog, self._limits)
        if verdict is None:
            return
        if verdict.refused != self._now.refused and verdict.refused[1]:
            _log.warning("campaign set refused", generation=verdict.refused[0], reason=verdict.refused[1], detail=verdict.refused[2])  # fmt: skip
        else:
            _log.info("campaigns", generation=verdict.generation, active=[item.name for item in verdict.campaigns],
                      rejected=[f"{item.name}: {item.reason}" for item in verdict.rejected])  # fmt: skip
        self._now = verdict
        self._verdicts.append(verdict)

    def take(self) -> InForce | None:
        """The newest verdict that was not taken yet."""
        return self._verdicts.pop() if self._verdicts else None
