# ruff: noqa: S608 - the queries are made of the constants of this file, and Grafana sends them
"""Grafana's dashboards and alert rules, made from short tables, so that one look shows what they ask.

    python -m vantel_rig.dashboards deploy/grafana

writes dashboards/*.json and the provisioning files beside them (JSON, which is YAML too). Queries name metrics of the
bridge and the worker (Prometheus) and measurements of the sink (InfluxQL); a test holds every name against the code.
Sizes are in units of Grafana's grid of 24 columns; times in seconds.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

SCHEMA_VERSION = 41
"""Grafana 12."""
INFLUX = {"type": "influxdb", "uid": "vantel-influxdb"}
PROMETHEUS = {"type": "prometheus", "uid": "vantel-prometheus"}
DAY_S = 86_400
SILENT_AFTER_S = 300


class Panel(NamedTuple):
    """A panel: asks is InfluxQL when it begins with SELECT, else PromQL; several with their legends."""

    title: str
    asks: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 12
    text: str = ""


class Alert(NamedTuple):
    """A rule: the question, when its last value is bad, for how long."""

    uid: str
    title: str
    ask: str
    bad: str
    limit: float
    for_s: int
    back_s: int
    severity: str
    text: str


def _agent(field: str, function: str = "last") -> str:
    """A gauge of the agents, by van."""
    return (
        f'SELECT {function}("{field}") FROM "agent" WHERE $timeFilter AND "van" =~ /^$van$/ '
        'GROUP BY time($__interval), "van" fill(null)'
    )


def _agent_rate(field: str) -> str:
    """A counter of the agents as a rate; a restart, which begins at 0, shows as a gap."""
    return (
        f'SELECT non_negative_derivative(last("{field}"), 1s) FROM "agent" WHERE $timeFilter AND "van" =~ /^$van$/ '
        'GROUP BY time($__interval), "van" fill(null)'
    )


def _signal(name: str) -> str:
    return (
        f'SELECT last("{name}") FROM "telemetry" WHERE $timeFilter AND "van" =~ /^$van$/ '
        "GROUP BY time($__interval) fill(null)"
    )


EVENTS = (
    'SELECT "van", "signal", "channel", "severity", "value", "expected", "score", "threshold" FROM "events" '
    'WHERE $timeFilter AND "van" =~ /^$van$/ ORDER BY time DESC LIMIT 200'
)
FLEET = (
    Panel("Vans that reported", {"vans": 'SELECT count("n") FROM (SELECT last("samples_produced") AS "n" FROM "agent" '
          'WHERE $timeFilter GROUP BY "van")'}, kind="stat", width=4),
    Panel("Connected vans", {"vans": 'SELECT sum("c") FROM (SELECT last("uplink_connected") AS "c" FROM "agent" '
          'WHERE time > now() - 5m GROUP BY "van")'}, kind="stat", width=4, text="By their reports of the last five minutes."),
    Panel("Events", {"events": 'SELECT count("score") FROM "events" WHERE $timeFilter GROUP BY time($__interval) fill(0)'},
          width=16, text="All vans and channels."),
    Panel("Reports of each van", {"$tag_van": 'SELECT count("samples_produced") FROM "agent" WHERE $timeFilter AND '
          '"van" =~ /^$van$/ GROUP BY time($__interval), "van" fill(0)'}, text="A gap is silence: no report in that time."),
    Panel("Samples", {"$tag_van": _agent_rate("samples_produced")}, "cps"),
    Panel("Envelopes waiting for the durable ack", {"$tag_van": _agent("uplink_waiting")}),
    Panel("Uplink", {"$tag_van": _agent_rate("uplink_bytes_sent")}, "Bps"),
    Panel("Latest events", {"events": EVENTS}, kind="table", width=24),
)  # fmt: skip
VAN = (
    Panel("Speed", {"km/h": _signal("Vehicle.Speed")}, "velocitykmh"),
    Panel("Samples", {"samples": _agent_rate("samples_produced")}, "cps"),
    Panel("Link", {"connected": _agent("uplink_connected")}, width=8),
    Panel("Waiting for the durable ack", {"envelopes": _agent("uplink_waiting")}, width=8),
    Panel("Refused and resent", {"refused": _agent_rate("uplink_refused"), "resent": _agent_rate("uplink_resends"),
          "not connected": _agent_rate("uplink_connect_failures")}, "cps", width=8),
    Panel("Uplink", {"bytes": _agent_rate("uplink_bytes_sent")}, "Bps", width=8),
    Panel("Spool", {"bytes": _agent("spool_bytes")}, "bytes", width=8),
    Panel("Space on the van's disk", {"free": _agent("disk_free_bytes")}, "bytes", width=8),
    Panel("Agent: processor", {"cores": _agent_rate("cpu_s")}, width=8),
    Panel("Agent: memory at most", {"bytes": _agent("rss_bytes_max")}, "bytes", width=8),
    Panel("Certificate lasts", {"left": _agent("certificate_left_s")}, "s", width=8),
    Panel("Events", {"events": EVENTS}, kind="table", width=24),
)  # fmt: skip
PIPELINE = (
    Panel("Bridge: messages", {"{{leaf}}": "sum by (leaf) (rate(vantel_bridge_messages_total[1m]))"}, "cps"),
    Panel("Bridge: connected to MQTT", {"{{instance}}": "vantel_bridge_mqtt_connected"}),
    Panel("Bridge: time until Kafka has it", {
        "p50": "histogram_quantile(0.5, sum by (le) (rate(vantel_bridge_produce_seconds_bucket[5m])))",
        "p99": "histogram_quantile(0.99, sum by (le) (rate(vantel_bridge_produce_seconds_bucket[5m])))"}, "s"),
    Panel("Bridge: held", {"messages without PUBACK": "sum(vantel_bridge_unacked_messages)",
          "records in flight": "sum(vantel_bridge_in_flight_records)"}),
    Panel("Worker: lag", {"{{topic}}": "max by (topic) (vantel_worker_lag_records)"},
          text="Records of Kafka that are not committed."),
    Panel("Worker: time since the last commit", {"{{instance}}": "vantel_worker_commit_age_seconds"}, "s"),
    Panel("Worker: envelopes", {"{{outcome}}": "sum by (outcome) (rate(vantel_worker_envelopes_total[1m]))"}, "cps"),
    Panel("Worker: points", {"points": "sum(rate(vantel_worker_points_total[1m]))"}, "cps"),
    Panel("Database: time of a request", {
        "p50": "histogram_quantile(0.5, sum by (le) (rate(vantel_worker_write_seconds_bucket[5m])))",
        "p99": "histogram_quantile(0.99, sum by (le) (rate(vantel_worker_write_seconds_bucket[5m])))"}, "s"),
    Panel("Database: repeated requests", {"retries": "sum(rate(vantel_worker_write_retries_total[1m]))"}, "cps"),
    Panel("Dead letters", {"bridge: {{reason}}": "sum by (reason) (increase(vantel_bridge_dead_letters_total[5m]))",
          "worker: {{reason}}": "sum by (reason) (increase(vantel_worker_dead_letters_total[5m]))"}),
    Panel("Durable acks", {"sent": "sum(rate(vantel_bridge_acks_total[1m]))",
          "refused by the broker": "sum(rate(vantel_bridge_acks_refused_total[1m]))"}, "cps"),
    Panel("Certificates last", {"{{connection}} {{file}}":
          "min by (connection, file) (vantel_certificate_expiry_timestamp_seconds) - time()"}, "s", width=24),
)  # fmt: skip
DASHBOARDS = {
    "fleet": ("Vantel: fleet", FLEET),
    "van": ("Vantel: one van", VAN),
    "pipeline": ("Vantel: pipeline", PIPELINE),
}


def _last_of_vans(field: str) -> str:
    return f'SELECT last("{field}") FROM "agent" WHERE $timeFilter GROUP BY "van"'


ALERTS = (
    Alert("vantel-van-silent", "A van is silent",
          'SELECT count("samples_produced") FROM "agent" WHERE $timeFilter GROUP BY time(5m), "van" fill(0)',
          "lt", 1, SILENT_AFTER_S, DAY_S, "warning", "no report for more than five minutes, though it reported today"),
    Alert("vantel-worker-lag", "The worker is behind", "max by (topic) (vantel_worker_lag_records)",
          "gt", 1000, 300, 600, "warning", "more than 1,000 records of one topic are not committed"),
    Alert("vantel-worker-stalled", "The worker does not commit", "max(vantel_worker_commit_age_seconds)",
          "gt", 60, 60, 600, "critical", "records wait, and no commit moved for a minute"),
    Alert("vantel-worker-gone", "No worker answers", "sum(vantel_worker_catalogs >= bool 0) or vector(0)",
          "lt", 1, 120, 600, "critical", "nobody moves records from Kafka to the database"),
    Alert("vantel-bridge-away", "No bridge is connected", "sum(vantel_bridge_mqtt_connected) or vector(0)",
          "lt", 1, 60, 600, "critical", "nobody takes messages from the broker; the vans keep them"),
    Alert("vantel-dead-letters", "Dead letters of the worker",
          "sum by (reason) (increase(vantel_worker_dead_letters_total[15m]))",
          "gt", 0, 0, 900, "warning", "messages or lines were refused; they are kept with their reason"),
    Alert("vantel-refused-messages", "Dead letters of the bridge",
          "sum by (reason) (increase(vantel_bridge_dead_letters_total[15m]))",
          "gt", 0, 0, 900, "warning", "messages were refused at the door; they are kept with their reason"),
    Alert("vantel-van-disk", "A van's disk is nearly full", _last_of_vans("disk_free_bytes"),
          "lt", 1e9, 300, 900, "warning", "less than 1 GB is free; the spool begins to evict at keep_free_bytes"),
    Alert("vantel-van-spool", "A van's spool is nearly full", _last_of_vans("spool_bytes"),
          "gt", 1.6e9, 300, 900, "warning", "more than 1.6 GB wait for the cloud; at spool.bytes_max it evicts"),
    Alert("vantel-van-certificate", "A van's certificate ends soon", _last_of_vans("certificate_left_s"),
          "lt", 14 * DAY_S, 0, 3600, "warning", "less than 14 days; after that the broker refuses the van"),
    Alert("vantel-campaign-silent", "A campaign is active without data", _last_of_vans("campaigns_silent"),
          "gt", 0, 0, 900, "warning", "no capture for longer than the campaign's data_within_s"),
    Alert("vantel-cloud-certificate", "A certificate of the cloud side ends soon",
          "min by (connection, file) (vantel_certificate_expiry_timestamp_seconds) - time()",
          "lt", 14 * DAY_S, 0, 600, "critical", "less than 14 days, or it cannot be read"),
)  # fmt: skip


def _source(ask: str) -> dict[str, str]:
    return INFLUX if ask.startswith("SELECT") else PROMETHEUS


def _target(ref: str, legend: str, ask: str, kind: str) -> dict[str, Any]:
    if _source(ask) is PROMETHEUS:
        return {"refId": ref, "datasource": PROMETHEUS, "expr": ask, "legendFormat": legend}
    form = "table" if kind == "table" else "time_series"
    return {
        "refId": ref,
        "datasource": INFLUX,
        "query": ask,
        "rawQuery": True,
        "resultFormat": form,
        "alias": legend,
    }


def dashboard(name: str) -> dict[str, Any]:
    """One dashboard as Grafana reads it."""
    title, panels = DASHBOARDS[name]
    placed: list[dict[str, Any]] = []
    x = y = 0
    for number, panel in enumerate(panels, 1):
        height = 8 if panel.kind != "stat" else 6
        if x + panel.width > 24:
            x, y = 0, y + 8
        placed.append(
            {
                "id": number,
                "type": panel.kind,
                "title": panel.title,
                "description": panel.text,
                "gridPos": {"x": x, "y": y, "w": panel.width, "h": height},
                "datasource": _source(next(iter(panel.asks.values()))),
                "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
                "targets": [
                    _target(chr(ord("A") + at), legend, ask, panel.kind)
                    for at, (legend, ask) in enumerate(panel.asks.items())
                ],
            }
        )
        x += panel.width
    uses_vans = any("$van" in ask for panel in panels for ask in panel.asks.values())
    return {
        "uid": f"vantel-{name}",
        "title": title,
        "tags": ["vantel"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "timezone": "browser",
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_van_choice(several=name == "fleet")] if uses_vans else []},
        "links": [{"type": "dashboards", "tags": ["vantel"], "title": "Vantel", "asDropdown": True}],
        "panels": placed,
    }


def _van_choice(several: bool) -> dict[str, Any]:
    return {
        "name": "van",
        "label": "van",
        "type": "query",
        "datasource": INFLUX,
        "query": 'SHOW TAG VALUES FROM "agent" WITH KEY = "van"',
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
        **({"allValue": ".*", "current": {"text": "All", "value": "$__all"}} if several else {}),
    }


def rules() -> dict[str, Any]:
    """The alert rules as Grafana provisions them."""
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": "vantel",
                "folder": "Vantel",
                "interval": "1m",
                "rules": [_rule(alert) for alert in ALERTS],
            }
        ],
    }


def _rule(alert: Alert) -> dict[str, Any]:
    """Question, its last value, and the comparison."""
    span = {"from": alert.back_s, "to": 0}
    source = _source(alert.ask)
    ask = {
        key: value
        for key, value in _target("A", "", alert.ask, "alert").items()
        if key not in {"alias", "legendFormat"}
    }
    ask |= {"instant": False, "range": True} if source is PROMETHEUS else {}
    reduced = {
        "refId": "B",
        "type": "reduce",
        "expression": "A",
        "reducer": "last",
        "settings": {"mode": "dropNN"},
    }
    compared = {
        "refId": "C",
        "type": "threshold",
        "expression": "B",
        "conditions": [{"evaluator": {"type": alert.bad, "params": [alert.limit]}}],
    }
    models = ((source["uid"], ask), ("__expr__", reduced), ("__expr__", compared))
    return {
        "uid": alert.uid,
        "title": alert.title,
        "condition": "C",
        "data": [
            {"refId": model["refId"], "relativeTimeRange": span, "datasourceUid": uid, "model": model}
            for uid, model in models
        ],
        "for": f"{alert.for_s}s",
        "noDataState": "OK",
        "execErrState": "Error",
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.text, "what_to_do": f"docs/operations.md, {alert.uid}"},
    }


def datasources() -> dict[str, Any]:
    """Where the data is; addresses and the token file come from the environment of Grafana."""
    influx = {
        "name": "Vantel InfluxDB", **INFLUX, "access": "proxy", "url": "$INFLUX_URL", "isDefault": True,
        "jsonData": {"dbName": "$INFLUX_BUCKET", "httpMode": "POST", "httpHeaderName1": "Authorization"},
        "secureJsonData": {"httpHeaderValue1": "Token $__file{/run/vantel/influx.token}"},
    }  # fmt: skip
    prometheus = {"name": "Vantel Prometheus", **PROMETHEUS, "access": "proxy", "url": "$PROMETHEUS_URL"}
    return {"apiVersion": 1, "datasources": [influx, prometheus]}


def providers() -> dict[str, Any]:
    """Where Grafana finds the dashboards."""
    folder = {"path": "/etc/grafana/vantel"}
    one = {"name": "vantel", "folder": "Vantel", "type": "file", "disableDeletion": True, "options": folder}
    return {"apiVersion": 1, "providers": [one]}


def files() -> dict[str, str]:
    """Every file by its place below deploy/grafana."""
    trees = {f"dashboards/{name}.json": dashboard(name) for name in DASHBOARDS}
    trees |= {
        "provisioning/alerting/vantel.yaml": rules(),
        "provisioning/datasources/vantel.yaml": datasources(),
        "provisioning/dashboards/vantel.yaml": providers(),
    }
    return {place: json.dumps(tree, indent=1) + "\n" for place, tree in trees.items()}


if __name__ == "__main__":
    for _place, _text in files().items():
        _path = Path(sys.argv[1], _place)
        _path.parent.mkdir(parents=True, exist_ok=True)
        _path.write_text(_text, encoding="utf-8")
