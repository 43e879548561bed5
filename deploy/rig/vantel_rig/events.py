"""Events as they stand in InfluxDB, for tests of a rig and for the latency of the demo."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from cloud.query import InfluxQuery
from cloud.settings import InfluxSection
from vantel_rig.van import Van

POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One point of measurement events."""

    van: str
    t_unix_ns: int
    fields: dict[str, Any]


class Events:
    """Reads events; expect waits for one."""

    def __init__(self, influx: InfluxSection) -> None:
        self._query = InfluxQuery(influx)

    def since(self, t_unix_ns: int) -> list[StoredEvent]:
        """Events of all vans later than t_unix_ns, in order of time."""
        series = self._query.query(f'SELECT * FROM "events" WHERE time > {t_unix_ns} GROUP BY "van"')  # noqa: S608
        events = []
        for part in series:
            for row in part.rows():
                fields = {key: value for key, value in row.items() if key != "time" and value is not None}
                events.append(StoredEvent(part.tags["van"], int(row["time"]), fields))
        return sorted(events, key=lambda event: event.t_unix_ns)

    def expect(
        self,
        van: Van,
        *,
        signal: str | None = None,
        channel: str | None = None,
        mark: str | None = None,
        timeout_s: float = 120.0,
    ) -> StoredEvent:
        """First event of the van that fits; AssertionError with what was there instead when none comes in time."""
        wanted = {
            key: value
            for key, value in {"signal": signal, "channel": channel, "injected": mark}.items()
            if value is not None
        }
        deadline = time.monotonic() + timeout_s
        seen: list[StoredEvent] = []
        while time.monotonic() < deadline:
            seen = [event for event in self.since(0) if event.van == van.id]
            for event in seen:
                if all(event.fields.get(key) == value for key, value in wanted.items()):
                    return event
            time.sleep(POLL_S)
        others = "\n".join(str(event) for event in seen[-10:]) or "none at all"
        raise AssertionError(
            f"no event {wanted} of {van.id} within {timeout_s:.0f} s; events seen:\n{others}"
        )
