"""Settings of the detector (docs/detection.md)."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Annotated

from pydantic import Field, field_validator

from edge.settings.section import Count, Positive, Section


class Mute(Section):
    """Why a signal makes no events, and until when."""

    reason: Annotated[str, Field(min_length=1)]
    until: datetime | None = Field(None, description="UTC; without it, until the settings change")

    @property
    def end_unix_ns(self) -> float:
        """The end in UTC ns, infinite without one."""
        if self.until is None:
            return math.inf
        until = self.until if self.until.tzinfo else self.until.replace(tzinfo=timezone.utc)
        return until.timestamp() * 1e9


class DetectorSection(Section):
    """The detector; its numbers are explained in docs/detection.md."""

    tick_s: Positive = 0.05
    robust_z_min: Positive = 12.0
    warmup_samples: Count = 64
    incidents_per_day_max: Positive = Field(
        1.0, description="budget of statistical false alarms of the whole van in eight hours of driving"
    )
    hold_s: Annotated[float, Field(ge=0)] = Field(
        0.2, description="a statistical finding waits so long for others of the same incident"
    )
    refractory_s: Annotated[float, Field(ge=0)] = 1.0
    peers: list[Annotated[list[str], Field(min_length=2, max_length=8)]] = Field(
        default_factory=list, description="sets of signals that show one quantity or move together"
    )
    muted: dict[str, Mute] = Field(
        default_factory=dict, description="signal name to the reason why it is muted, and until when"
    )

    @field_validator("muted", mode="before")
    @classmethod
    def _reason_alone(cls, muted: object) -> object:
        if not isinstance(muted, dict):
            return muted
        return {name: {"reason": mute} if isinstance(mute, str) else mute for name, mute in muted.items()}
