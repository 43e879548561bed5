"""Reads from InfluxDB with InfluxQL over /query, the one query language that versions 1, 2 and 3 all answer.

Query text -> Series (tags, columns, rows), times as Unix ns integers. What the server refuses raises QueryError, which
is a ValueError; what the network does raises OSError (URLError among it).
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cloud.connection import check_url, read_secret, tls_context
from cloud.settings import InfluxSection

COUNTED = ("telemetry", "events")
"""Measurements whose fields are the points of the ledger."""


class QueryError(ValueError):
    """The server refused a query; the text has the query and its answer."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer."""

    name: str
    tags: dict[str, str]
    columns: list[str]
    values: list[list[Any]]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows as dicts; time is Unix ns."""
        for row in self.values:
            yield dict(zip(self.columns, row, strict=True))


class InfluxQuery:
    """Asks one database."""

    def __init__(self, influx: InfluxSection, timeout_s: float = 60.0) -> None:
        """ConnectionRefused when the settings do not allow or do not make possible the connection."""
        self._influx, self._timeout_s = influx, timeout_s
        # the sink's client takes no proxy from the environment, so reads take none either
        doors: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if check_url("influx", influx.url, influx.plaintext):
            context = tls_context("influx", influx.ca_file, influx.certificate_file, influx.key_file)
            doors.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*doors)
        self._headers = {"Accept": "application/json"}
        if influx.token_file:
            self._headers["Authorization"] = f"Token {read_secret(influx.token_file, 'influx.token_file')}"

    def query(self, text: str) -> list[Series]:
        """All series of one or several statements."""
        form = urllib.parse.urlencode({"db": self._influx.bucket, "epoch": "ns", "q": text}).encode()
        address = f"{self._influx.url.rstrip('/')}/query"
        request = urllib.request.Request(address, form, self._headers)  # noqa: S310 - check_url allows http(s) only
        try:
            with self._opener.open(request, timeout=self._timeout_s) as reply:
                answer = json.loads(reply.read())
        except urllib.error.HTTPError as cause:
            said = cause.read(2000).decode(errors="replace")
            raise QueryError(f"query {text!r} at {address}: {cause.code} {said.strip()}") from cause
        series: list[Series] = []
        for result in answer.get("results", []):
            if "error" in result:
                raise QueryError(f"query {text!r} at {address}: {result['error']}")
            for part in result.get("series", []):
                if part.get("partial"):
                    raise QueryError(f"query {text!r} at {address}: the answer was cut short; ask for less")
                series.append(
                    Series(
                        part.get("name", ""),
                        part.get("tags") or {},
                        part["columns"],
                        part.get("values") or [],
                    )
                )
        return series

    def count_points(self, van: str | None = None) -> int:
        """Field values of telemetry and events in the database, of one van or all."""
        return sum(self.count_points_by_van(van).values())

    def count_points_by_van(self, van: str | None = None) -> dict[str, int]:
        """count_points of each van."""
        counts: dict[str, int] = {}
        where = f" WHERE \"van\" = '{van}'" if van else ""
        for measurement in COUNTED:
            for part in self.query(f'SELECT count(*) FROM "{measurement}"{where} GROUP BY "van"'):  # noqa: S608
                for row in part.rows():
                    total = sum(int(value or 0) for name, value in row.items() if name != "time")
                    counts[part.tags["van"]] = counts.get(part.tags["van"], 0) + total
        return counts

    def ensure_database(self) -> None:
        """Create the database on a 1.x server (it may exist). 2.x and 3 have buckets instead and refuse: QueryError."""
        self.query(f'CREATE DATABASE "{self._influx.bucket}"')
