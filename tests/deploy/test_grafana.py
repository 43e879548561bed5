"""The dashboards and alert rules that ship.

Goal: every metric, label, measurement and field that they ask for is one that the code gives; the database takes every
query; Grafana's own types take dashboards and rules; ids are unique; the files are what the tables in
vantel_rig.dashboards say.
Method: the metrics of bridge and worker as Prometheus would scrape them, found in the syntax tree of each PromQL
expression; the queries sent to the real InfluxDB after a van with an event wrote into it; the Grafana Foundation SDK,
which is made from Grafana's schemas.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

import promql_parser
import pytest
from prometheus_client.registry import Collector
from pydantic import ConfigDict, TypeAdapter, ValidationError

from cloud.bridge.metrics import BridgeMetrics
from cloud.certificates import CertificateMetrics
from cloud.kafka.clients import TopicPartition
from cloud.ledger.accounts import Books
from cloud.query import InfluxQuery
from cloud.settings import InfluxSection, MqttSection
from cloud.sink.sink import Answer, Sink
from cloud.worker.delivery import Delivery
from cloud.worker.lag import Progress
from cloud.worker.metrics import WorkerMetrics
from cloud.worker.steps.validate import CatalogBook
from edge.gauges import gauges_of
from edge.settings import SpoolSection
from edge.uplink.counters import Counters
from vantel.catalog import builtin
from vantel_rig.cloud_side import CloudSide
from vantel_rig.dashboards import ALERTS, DASHBOARDS, SCHEMA_VERSION, files

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
PROBE = "Vehicle.Robovan.TestBench.Probe"
ASKS = [
    *((f"{name}: {panel.title}", ask) for name, (_, panels) in DASHBOARDS.items() for panel in panels for ask in panel.asks.values()),
    *((alert.uid, alert.ask) for alert in ALERTS),
]  # fmt: skip


def of(kind: str) -> list[Any]:
    return [
        pytest.param(ask, id=name) for name, ask in ASKS if ask.startswith("SELECT") == (kind == "influxql")
    ]


@pytest.mark.parametrize("place", sorted(files()))
def test_files_are_what_the_tables_say(place: str) -> None:
    text = (GRAFANA / place).read_text(encoding="utf-8")
    assert text == files()[place], "make them again: python -m vantel_rig.dashboards deploy/grafana"
    json.loads(text)


def wrong_types(thing: Any, at: str) -> Iterator[str]:
    """Members of an object of the SDK, and of what is in it, whose values are not of the declared type.

    from_json takes any value; the annotations of the classes are what Grafana's schema says.
    """
    if isinstance(thing, list):
        for number, item in enumerate(thing):
            yield from wrong_types(item, f"{at}[{number}]")
    if not type(thing).__module__.startswith("grafana_foundation_sdk.models") or isinstance(thing, Enum):
        return
    hints = get_type_hints(type(thing))
    for name, value in vars(thing).items():
        place = f"{at}.{name}"
        kinds = (hints[name], *get_args(hints[name]))
        strict = not any(
            isinstance(kind, type) and issubclass(kind, Enum) for kind in kinds
        )  # JSON has its value
        adapter = TypeAdapter(hints[name], config=ConfigDict(arbitrary_types_allowed=True))
        try:
            adapter.validate_python(value, strict=strict)
        except ValidationError as cause:
            yield f"{place}: {cause.errors()[0]['msg']}"
        yield from wrong_types(value, place)


def lost(ours: Any, theirs: Any, at: str = "") -> Iterator[str]:
    """What stands in ours and came back otherwise, or not: a key that Grafana does not know."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from lost(value, theirs[key], f"{at}/{key}") if key in theirs else [f"{at}/{key}"]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from lost(one, other, f"{at}/{number}")
    elif ours != theirs:
        yield f"{at}: {ours!r} came back as {theirs!r}"


@pytest.mark.filterwarnings("ignore:Prefer using dashboardv2")
def test_dashboards_and_rules_are_of_the_types_of_grafana() -> None:
    plugins = pytest.importorskip(
        "grafana_foundation_sdk.cog.plugins", reason="the SDK of Grafana needs Python 3.11"
    )
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.alerting import Rule
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()
    trees = {place: json.loads(text) for place, text in files().items()}
    groups = trees["provisioning/alerting/vantel.yaml"]["groups"]
    typed = [(Dashboard, tree) for place, tree in trees.items() if place.startswith("dashboards/")]
    typed += [(Rule, rule) for group in groups for rule in group["rules"]]
    for kind, tree in typed:
        made = kind.from_json(tree)
        back = json.loads(json.dumps(made, cls=JSONEncoder))
        assert list(lost(tree, back)) == []
        assert list(wrong_types(made, tree["title"])) == []


def test_nothing_else_lies_there() -> None:
    assert {str(path.relative_to(GRAFANA)) for path in GRAFANA.rglob("*") if path.is_file()} == set(files())


def test_ids_are_unique_and_panels_do_not_overlap() -> None:
    boards = [json.loads(text) for place, text in files().items() if place.startswith("dashboards/")]
    uids = [board["uid"] for board in boards] + [alert.uid for alert in ALERTS]
    assert len(set(uids)) == len(uids)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", uid) for uid in uids)
    for board in boards:
        assert board["schemaVersion"] == SCHEMA_VERSION
        panels = board["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            at = panel["gridPos"]
            cells = {
                (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
            }
            assert not cells & taken
            assert max(x for x, _ in cells) < 24
            taken |= cells
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {
                panel["datasource"]["uid"]
            }


def test_rules_and_panels_use_the_datasources_that_are_provisioned() -> None:
    made = files()
    known = {
        source["uid"] for source in json.loads(made["provisioning/datasources/vantel.yaml"])["datasources"]
    }
    used = set(re.findall(r'"uid": "(vantel-(?:influxdb|prometheus))"', "".join(made.values())))
    assert used == known
    for group in json.loads(made["provisioning/alerting/vantel.yaml"])["groups"]:
        for rule in group["rules"]:
            refs = [item["refId"] for item in rule["data"]]
            assert refs == ["A", "B", "C"]
            assert rule["condition"] == "C"
            assert rule["data"][0]["datasourceUid"] in known


def scraped(tmp_path: Path) -> dict[str, set[str]]:
    """Every sample name of both programs, with its labels."""
    metrics = BridgeMetrics()
    for counter in (metrics.messages, metrics.bundles, metrics.dead_letters):
        counter.labels("x")

    class Nowhere:
        def write(self, body: bytes) -> Answer:
            return Answer(204, str(len(body)))

    async def publish(_: object) -> None:
        return

    catalogs = CatalogBook(1.0)
    sink = Sink(Nowhere(), InfluxSection())
    delivery = Delivery(sink, publish, Books(), catalogs)
    delivery.tally.envelopes["stored"] = delivery.tally.letters["codec"] = 1
    progress = Progress()
    progress.lag[TopicPartition("vantel.p1", 0)] = 1
    worker = WorkerMetrics(delivery, sink.state, progress, catalogs)
    certificates = CertificateMetrics({"mqtt": MqttSection(ca_file=tmp_path / "none")})
    collectors: list[Collector] = [worker, certificates]
    found: dict[str, set[str]] = {}
    for family in [*metrics.registry.collect(), *(one for each in collectors for one in each.collect())]:
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def parts_of(expression: Any) -> Iterator[Any]:
    """Every node of the syntax tree of a PromQL expression."""
    yield expression
    inner = (getattr(expression, name, None) for name in ("lhs", "rhs", "expr", "vector_selector", "param"))
    for part in (*inner, *getattr(expression, "args", ())):
        if part is not None:
            yield from parts_of(part)


@pytest.mark.parametrize("ask", of("promql"))
def test_every_metric_and_label_is_one_of_ours(ask: str, tmp_path: Path) -> None:
    known = scraped(tmp_path)
    parts = list(parts_of(promql_parser.parse(ask)))
    names = {part.name for part in parts if isinstance(part, promql_parser.VectorSelector)}
    assert names
    assert names <= set(known)
    groups = [part.modifier for part in parts if isinstance(part, promql_parser.AggregateExpr)]
    labels = {label for group in groups if group is not None for label in group.labels}
    for name in names:
        assert labels <= known[name]


def agent_fields(tmp_path: Path) -> set[str]:
    uplink = {**Counters().as_floats(), "connected": 0.0, "in_flight": 0.0, "waiting": 0.0}
    campaigns = {"silent": 0.0, "triggers_dropped": 0.0}
    return {*gauges_of(uplink, campaigns, 0, tmp_path, tmp_path / "certificate"), "samples_produced"}


@pytest.mark.parametrize("ask", of("influxql"))
def test_every_field_is_one_of_ours(ask: str, tmp_path: Path) -> None:
    measurements = set(re.findall(r'FROM "(\w+)"', ask))
    assert measurements <= {"agent", "telemetry", "events"}
    names = set(re.findall(r'"([^"]+)"', ask)) - measurements - {"van", "n", "c"}
    if measurements == {"agent"}:
        assert names <= agent_fields(tmp_path)
    elif measurements == {"telemetry"}:
        assert names <= {signal.name for signal in builtin().signals}
    else:
        assert names <= {"signal", "channel", "severity", "value", "expected", "score", "threshold"}


@pytest.fixture(scope="module")
def written(vantel_cloud: CloudSide, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxQuery]:
    """A database in which a van with an event has written."""
    from vantel_rig.van import Van

    port = vantel_cloud.settings.mqtt.port
    fault = {"signal": PROBE, "kind": "spike", "magnitude": 500.0, "at_s": 5.0, "mark": "x"}
    van = Van("grafana-1", tmp_path_factory.mktemp("van"), port, [{"kind": "probe"}], faults=[fault],
              health={"period_s": 0.5}, batch={"window_s": 1.0})  # fmt: skip
    van.start()
    query = InfluxQuery(vantel_cloud.settings.influx)
    try:
        give_up_s = time.monotonic() + 180
        while not query.query('SELECT last("score") FROM "events"') or not query.query(
            'SELECT last("cpu_s") FROM "agent"'
        ):
            assert time.monotonic() < give_up_s, van.tail()
            time.sleep(0.2)
        yield query
    finally:
        van.stop()


@pytest.mark.servers
@pytest.mark.e2e
def test_the_database_takes_every_query_and_has_every_field(written: InfluxQuery, tmp_path: Path) -> None:
    for name, ask in ASKS:
        if ask.startswith("SELECT"):
            plain = (
                ask.replace("$timeFilter", "time > now() - 1h")
                .replace("$__interval", "1s")
                .replace("$van", ".*")
            )
            assert "$" not in plain.replace("$/", "/"), name
            series = written.query(plain)
            if "certificate_left_s" not in ask and "Vehicle.Speed" not in ask:
                assert series, f"{name} shows nothing"
    for measurement, expected in (
        ("agent", agent_fields(tmp_path) - {"certificate_left_s"}),
        ("events", {"signal", "channel", "severity", "value", "expected", "score", "threshold"}),
    ):
        keys = {
            str(row["fieldKey"])
            for part in written.query(f'SHOW FIELD KEYS FROM "{measurement}"')
            for row in part.rows()
        }
        assert expected <= keys


def test_limits_fit_the_defaults_of_the_agent() -> None:
    limits = {alert.uid: alert.limit for alert in ALERTS}
    spool = SpoolSection()
    assert spool.bytes_max * 0.5 < limits["vantel-van-spool"] < spool.bytes_max
    assert limits["vantel-van-disk"] > spool.keep_free_bytes, "the alert comes before the spool evicts"


def test_every_alert_is_explained() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    assert [alert.uid for alert in ALERTS if f"### {alert.uid}" not in text] == []


def test_every_metric_is_explained(tmp_path: Path) -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    names = {re.sub(r"_(total|created|bucket|sum|count)$", "", name) for name in scraped(tmp_path)}
    assert sorted(name for name in names if name not in text) == []
    assert sorted(name for name in agent_fields(tmp_path) if f"`{name}`" not in text) == []
