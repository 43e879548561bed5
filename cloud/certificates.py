"""When the certificates of our connections end, as a metric. Files are read at each scrape: a renewed one shows at once.

Settings -> vantel_certificate_expiry_timestamp_seconds by connection and file. What is not set has no value; what cannot
be read has 0, which is long expired, so that the same alert fires.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cloud.settings import InfluxSection, TlsFiles
from vantel.certificate import expiry_unix_s


class CertificateMetrics(Collector):
    """Collects over the sections of one process; connection names are those of the settings."""

    def __init__(self, sections: Mapping[str, TlsFiles | InfluxSection]) -> None:
        self._files = [
            (connection, kind, path)
            for connection, section in sections.items()
            for kind, path in (("ca", section.ca_file), ("certificate", section.certificate_file))
            if path is not None
        ]

    def collect(self) -> Iterator[Metric]:
        """One gauge for each file."""
        family = GaugeMetricFamily(
            "vantel_certificate_expiry_timestamp_seconds",
            "When a certificate ends, Unix seconds; 0 for one that cannot be read.",
            labels=["connection", "file"],
        )
        for connection, kind, path in self._files:
            family.add_metric([connection, kind], _expiry_unix_s(path))
        yield family


def _expiry_unix_s(path: Path) -> float:
    try:
        return expiry_unix_s(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0.0
