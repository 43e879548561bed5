"""A simulated InfluxDB behind cloud.sink.sink's Writer.

Fair faults: 503 and 429 with Retry-After, time-outs before and after the commit, connections that are reset, 413 for a
body above the limit, 400 for a body with a line it cannot take (nothing of it is stored), 422 with the bad lines dropped
and the others stored. Whether a line is bad is a function of the line alone. Unfair, and never done: a 204 for what was
not stored.
"""

from __future__ import annotations

import re

from cloud.sink.sink import Answer
from vantel_rig.sim.processes import current
from vantel_rig.sim.world import World

BODY_BYTES_MAX = 4000
_FIELD = re.compile(r'((?:[^=\\]|\\.)+)=("(?:[^"\\]|\\.)*"|[^,]+)(?:,|$)')
Key = tuple[str, int, str]
"""Measurement with its tags, time in ns, field."""


def parse(line: str) -> list[tuple[Key, str]]:
    """Fields of one line, values as their text. Tags here have no spaces."""
    series, rest = line.split(" ", 1)
    fields, stamp = rest.rsplit(" ", 1)
    return [((series, int(stamp), name), value) for name, value in _FIELD.findall(fields)]


class Influx:
    """Points, and how the server feels."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._rng = world.stream("influx")
        self.points: dict[Key, str] = {}
        self.refused: set[str] = set()
        self.trouble = 0.0
        self.away = False
        self.small_bodies = False
        self.picky = ""
        """Text that makes a line bad, empty for none."""
        self.partial = False
        """422, others stored, rather than 400, nothing stored."""

    def write(self, body: bytes) -> Answer:
        """One request."""
        process = current()
        process.step("write")
        process.blocked_s = self._rng.uniform(0.002, 0.05)
        if self.away:
            process.blocked_s = 3.0
            self.world.count("influx away")
            return Answer(0, "no answer", kind="connection")
        if self.small_bodies and len(body) > BODY_BYTES_MAX and b"\n" in body:
            self.world.count("influx 413")
            return Answer(413, "too large")
        if self._rng.random() < self.trouble:
            return self._failed(body)
        return self._take(body)

    def _failed(self, body: bytes) -> Answer:
        kind = self._rng.choice(("503", "429", "timeout before", "timeout after", "reset after"))
        self.world.count(f"influx {kind}")
        if kind == "503":
            return Answer(503, "unavailable")
        if kind == "429":
            return Answer(429, "too many", self._rng.uniform(0.5, 5.0))
        if kind.endswith("after"):
            self._take(body)
        if kind.startswith("timeout"):
            current().blocked_s = 15.0
            return Answer(0, "no answer", kind="timeout")
        return Answer(0, "reset", kind="reset")

    def _take(self, body: bytes) -> Answer:
        lines = body.decode().split("\n")
        bad = [line for line in lines if self.picky and self.picky in line]
        if bad:
            self.world.count("influx 422" if self.partial else "influx 400")
            self.refused.update(bad if self.partial or len(lines) == 1 else ())
        if bad and not self.partial:
            return Answer(400, "unable to parse")
        for line in lines:
            if line in bad:
                continue
            for key, value in parse(line):
                self.points[key] = value
        return Answer(422, "partial write") if bad else Answer(204)
