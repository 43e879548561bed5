"""What the database holds of a van, and one hash of it: the one way in which the rig compares runs.

InfluxDB -> every field value of signals and events, without the van's name -> SHA-256. Two runs with the same drive have
the same hash exactly when no point is missing, none is too many and none differs.
"""

from __future__ import annotations

import hashlib
from typing import Any

from cloud.query import InfluxQuery
from cloud.settings import InfluxSection
from cloud.worker.core import EVENTS, TELEMETRY

Points = dict[tuple[str, str, int, str], Any]
"""(measurement, group, time in Unix ns, field) -> value."""


def points_of(influx: InfluxSection, van: str) -> Points:
    """All field values of signals and events of a van."""
    query = InfluxQuery(influx)
    found: Points = {}
    for measurement in (TELEMETRY, EVENTS):
        text = f'SELECT * FROM "{measurement}" WHERE van = \'{van}\' GROUP BY "group"'  # noqa: S608 - van ids hold no quote
        for part in query.query(text):
            for row in part.rows():
                for name, value in row.items():
                    if name not in {"time", "van"} and value is not None:
                        found[measurement, part.tags["group"], int(row["time"]), name] = value
    return found


def content_hash(points: Points) -> str:
    """SHA-256 of the points in order, hexadecimal."""
    digest = hashlib.sha256()
    for key in sorted(points):
        digest.update(repr((key, points[key])).encode() + b"\n")
    return digest.hexdigest()


def difference(wanted: Points, found: Points) -> str:
    """What differs, for people; empty when the hashes are equal."""
    if content_hash(wanted) == content_hash(found):
        return ""
    missing, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    other = [key for key in found if key in wanted and found[key] != wanted[key]]
    return (
        f"{len(missing)} points missing {missing[:3]}, {len(extra)} too many {extra[:3]}, "
        f"{len(other)} differ {other[:3]}"
    )
