"""Metrics of the worker for Prometheus, read from its own counts when they are asked for. Names end in their unit."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from cloud.sink.sink import SinkState
from cloud.worker.delivery import Delivery
from cloud.worker.lag import Progress
from cloud.worker.steps.validate import CatalogBook


class WorkerMetrics(Collector):
    """One collector over the objects that count."""

    def __init__(
        self, delivery: Delivery, sink: SinkState, progress: Progress, catalogs: CatalogBook
    ) -> None:
        self._delivery, self._sink, self._progress, self._catalogs = delivery, sink, progress, catalogs
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """All metrics as they are now."""
        tally = self._delivery.tally
        yield from (
            _by("vantel_worker_envelopes", "Messages by outcome.", "outcome", tally.envelopes),
            _by("vantel_worker_dead_letters", "Dead letters by reason.", "reason", tally.letters),
            _count("vantel_worker_points", "Field values of signals and events written.", tally.points),
            _count("vantel_worker_lines", "Lines written.", tally.lines),
            _count("vantel_worker_agent_lines", "Lines of agent health written.", tally.agent_lines),
            _count("vantel_worker_duplicates", "Deliveries of envelopes stored before.", tally.duplicates),
            _count("vantel_worker_records", "Kafka records taken.", tally.records),
            _count("vantel_worker_catalog_waits", "Rounds of waiting for a catalog.", tally.waits),
            _count("vantel_worker_write_requests", "Requests to the database.", self._sink.requests),
            _count("vantel_worker_write_retries", "Requests that had to be repeated.", self._sink.retries),
            GaugeMetricFamily("vantel_worker_catalogs", "Catalogs known.", value=float(len(self._catalogs))),
            GaugeMetricFamily(
                "vantel_worker_commit_age_seconds",
                "Time since the last commit progress, 0 with no lag.",
                value=max(time.monotonic() - self._progress.moved_s, 0.0),
            ),
            self._lag(),
            self._latency(),
        )

    def _lag(self) -> Metric:
        lag = GaugeMetricFamily(
            "vantel_worker_lag_records", "Records not committed yet.", labels=["topic", "partition"]
        )
        for tp, count in sorted(self._progress.lag.items()):
            lag.add_metric([tp.topic, str(tp.partition)], float(count))
        return lag

    def _latency(self) -> Metric:
        buckets = [(str(bound_s), float(count)) for bound_s, count in self._sink.writes_within.items()]
        buckets.append(("+Inf", float(self._sink.requests)))
        return HistogramMetricFamily(
            "vantel_worker_write_seconds",
            "Duration of requests to the database.",
            buckets=buckets,
            sum_value=self._sink.write_s_sum,
        )


def _count(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=float(value))


def _by(name: str, text: str, label: str, counts: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for key in sorted(counts):
        family.add_metric([key], float(counts[key]))
    return family
