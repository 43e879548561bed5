"""Campaigns over restarts: what is in force and what each has used, in one file of the state directory.

Replaced whole by rename and synced. A file that cannot be read is told and counts as none: the broker still has the set,
retained. Times of the stream hold for one boot only, unless the stream is a recording with its own stamps.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import structlog

from edge.campaign.judge import InForce
from edge.campaign.run import Ledger, Usage
from edge.rings import Rings
from vantel.campaign.document import CampaignSet
from vantel.campaign.limits import CampaignError
from vantel.captures import CampaignState, CampaignStatus

FILE = "campaigns.json"
FILE_BYTES_MAX = 4 * 1024 * 1024
_log = structlog.get_logger("campaigns")


class CampaignStore:
    """boot: what stream times belong to; "" for a recording's own."""

    def __init__(self, state_dir: Path, van: str, boot: str) -> None:
        self._path, self._van, self._boot = state_dir / FILE, van, boot
        self._written = ""
        self.same_boot = False
        """What was loaded is of this boot."""

    def load(self) -> Ledger:
        """What was in force; nothing when there is no file or none that can be read."""
        try:
            if self._path.stat().st_size > FILE_BYTES_MAX:
                raise ValueError(f"larger than {FILE_BYTES_MAX} bytes")
            return self._ledger(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return Ledger()
        except (OSError, ValueError, KeyError, TypeError, CampaignError) as cause:
            _log.error("campaigns not read", path=str(self._path), cause=str(cause), effect="the broker's set is taken anew")  # fmt: skip
            return Ledger()

    def save(self, ledger: Ledger) -> None:
        """Write when something changed; a disk that does not take it is told, once for each change."""
        text = self._text(ledger)
        if text == self._written:
            return
        self._written = text
        temporary = self._path.with_suffix(".tmp")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as cause:
            _log.warning("campaigns not kept", path=str(self._path), cause=cause.strerror, fix="check the state directory")  # fmt: skip

    def _text(self, ledger: Ledger) -> str:
        force = ledger.in_force
        campaigns = CampaignSet(self._van, max(1, force.generation), force.campaigns).encode()
        return json.dumps({
            "boot": self._boot,
            "generation": force.generation,
            "set_hash": force.set_hash,
            "refused": force.refused,
            "campaigns": base64.b64encode(campaigns).decode(),
            "rejected": [dataclasses.asdict(state) for state in force.rejected],
            "usage": {key: dataclasses.asdict(usage) for key, usage in list(ledger.usage.items())},
        })  # fmt: skip

    def _ledger(self, tree: dict[str, Any]) -> Ledger:
        campaigns = CampaignSet.decode(base64.b64decode(tree["campaigns"])).campaigns
        rejected = [
            CampaignState(**{**state, "status": CampaignStatus(state["status"])})
            for state in tree["rejected"]
        ]
        generation, reason, detail = tree["refused"]
        force = InForce(
            tuple(campaigns), tuple(rejected), int(tree["generation"]), str(tree["set_hash"]),
            (int(generation), str(reason), str(detail)),
        )  # fmt: skip
        usage = {key: Usage(**values) for key, values in tree["usage"].items()}
        self.same_boot = tree["boot"] == self._boot
        if not self.same_boot:
            for item in usage.values():
                item.since_ns, item.last_data_ns = Rings.NEVER, 0
        return Ledger(force, usage)
