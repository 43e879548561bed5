"""Settings of the byte budgets: how much P1 and P2 may send a day. P0 has none: it is never held."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edge.source_settings import Section

Bytes = Annotated[int, Field(ge=0)]


class DayBytes(Section):
    """Bytes that may go in a day, resends included; none: no bound."""

    p1_bytes_max: Bytes | None = None
    p2_bytes_max: Bytes | None = None
