"""The compose stack, without containers.

Goal: compose.yaml is what the Compose specification allows, what it names exists and fits together, images are pinned and
ours run without root, and its commands with its settings files move three drives to the database over TLS.
Method: the published JSON schema of the specification; the same commands and settings as ordinary processes on the local
stack, with addresses and folders put in. No image is pulled or built.
"""

from __future__ import annotations

import base64
import getpass
import importlib
import json
import os
import re
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from cloud.query import InfluxQuery
from cloud.settings import load as load_cloud
from edge.settings import load as load_edge
from edge.settings.tree import tomllib
from edge.status.file import StatusError, read_status
from tests.deploy.production_broker import Certificates, ProductionBroker
from vantel_rig.drives import DATA, drive
from vantel_rig.ports import HeldPort
from vantel_rig.process import Process
from vantel_rig.programs import find_server
from vantel_rig.stack import Stack

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
VANS = ("van-1", "van-2", "van-3")
OURS = ("prepare", "provision", "bridge", "worker", "page", *VANS)


COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def test_the_file_is_what_the_specification_allows() -> None:
    schema = json.loads((DATA / "compose" / "compose-spec.json").read_text(encoding="utf-8"))
    found = Draft202012Validator(schema).iter_errors(COMPOSE)
    assert [f"{error.json_path}: {error.message}" for error in found] == []


def test_all_that_belongs_is_there() -> None:
    assert set(SERVICES) == {*OURS, "proxy", "mosquitto", "kafka", "influxdb", "prometheus", "grafana"}


@pytest.mark.parametrize("name", SERVICES)
def test_image_is_pinned_and_health_is_checked(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), "a full version, never latest"
    if name not in {"prepare", "provision"}:
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["restart"] == "unless-stopped"


def test_versions_are_new_enough() -> None:
    def version(name: str) -> tuple[int, ...]:
        return tuple(
            int(part)
            for part in SERVICES[name]["image"]
            .rpartition(":v" if ":v" in SERVICES[name]["image"] else ":")[2]
            .split(".")
        )

    assert version("mosquitto") >= (2, 0, 21)
    assert version("kafka") >= (4, 1, 0)
    assert (2, 7, 0) <= version("influxdb") < (3, 0, 0)


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_names_exists(name: str) -> None:
    service = SERVICES[name]
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], volume
    for other, how in service.get("depends_on", {}).items():
        condition = how["condition"]
        assert other in SERVICES
        assert condition != "service_healthy" or "healthcheck" in SERVICES[other]
        assert condition != "service_completed_successfully" or other in {"prepare", "provision"}
    if "build" in service:
        assert (ROOT / service["build"]["dockerfile"]).is_file()
    elif name in OURS:
        assert service["image"] in {one["image"] for one in SERVICES.values() if "build" in one}
    if str(service.get("network_mode", "")).startswith("service:"):
        assert service["network_mode"].removeprefix("service:") in SERVICES


def test_only_the_broker_is_open_to_others() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {
        "mosquitto": ["8883:8883"],
        "grafana": ["127.0.0.1:3000:3000"],
        "bridge": ["127.0.0.1:8443:8443"],
    }


@pytest.mark.parametrize("side", ["cloud", "edge"])
def test_our_images_are_pinned_and_run_without_root(side: str) -> None:
    text = (DEPLOY / side / "Dockerfile").read_text(encoding="utf-8")
    bases = re.findall(r"^FROM (\S+)", text, re.M)
    assert bases
    assert all(re.search(r":\d+\.\d+\.\d+-slim", base) for base in bases)
    last = text[text.rindex("\nFROM ") :]
    assert re.findall(r"^USER (\S+)", last, re.M) == ["10001:10001"]
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in re.findall(r"^COPY (?!--from)(.+)", text, re.M):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists()
            assert any(source == one or source.startswith(one + "/") for one in kept), (
                f"{source} is kept out by .dockerignore"
            )


def image_words(text: str) -> list[list[str]]:
    """The words of every command of a Dockerfile in its JSON form, the entry point first."""
    entry = re.findall(r"^ENTRYPOINT (\[.+\])$", text, re.M)
    return [json.loads(words) for words in (*entry, *re.findall(r"^RUN (\[.+\])$", text, re.M))]


@pytest.mark.parametrize("side", ["cloud", "edge"])
def test_every_command_of_our_images_is_one_that_is_installed(side: str) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    entry, *runs = image_words((DEPLOY / side / "Dockerfile").read_text(encoding="utf-8"))
    own = [s for s in SERVICES.values() if s["image"].startswith(f"vantel-{side}:") and "entrypoint" not in s]
    lines = [[*entry, *service["command"]] for service in own]
    lines += [service["healthcheck"]["test"][1:] for service in own if "healthcheck" in service]
    asked = 0
    for program, *words in [*lines, *runs]:
        folder, _, name = program.rpartition("/")
        assert folder == "/opt/vantel/bin"
        if name == "python":
            continue
        module, _, attribute = scripts[name].partition(":")
        app = getattr(importlib.import_module(module), attribute)
        options = [word for word in words if word.startswith("-")]
        told = CliRunner().invoke(app, [words[0], "--help"])
        assert told.exit_code == 0, (name, words, told.output)
        assert all(option in told.output for option in options)
        asked += 1
    assert asked >= 2


@pytest.mark.parametrize(("number", "van"), list(enumerate(VANS)))
def test_each_van_replays_a_recorded_drive(number: int, van: str) -> None:
    settings = load_edge(DEPLOY / "compose" / f"{van}.toml")
    assert settings.van.id == van
    wanted = json.loads(json.dumps(drive(number)).replace(str(DATA), "/data"))
    found = settings.sources[0].model_dump(mode="json", exclude_unset=True)
    assert found == wanted


def test_addresses_of_the_settings_are_services() -> None:
    settings = load_cloud(DEPLOY / "compose" / "cloud.toml")
    named = {
        settings.mqtt.host,
        settings.kafka.bootstrap.split(":")[0],
        settings.influx.url.split("/")[2].split(":")[0],
    }
    assert named == {"mosquitto", "kafka", "influxdb"}
    influx = SERVICES["influxdb"]["environment"]
    assert (influx["DOCKER_INFLUXDB_INIT_ORG"], influx["DOCKER_INFLUXDB_INIT_BUCKET"]) == (
        settings.influx.org,
        settings.influx.bucket,
    )
    ports = re.findall(r"127\.0\.0\.1:(\d+)", (DEPLOY / "compose" / "prometheus.yml").read_text())
    assert [int(port) for port in ports] == [settings.http.bridge_port, settings.http.worker_port]


class Desk:
    """The compose stack's own files with the addresses and folders of this machine."""

    def __init__(self, folder: Path, stack: Stack) -> None:
        self.folder, self.stack = folder, stack
        self.secrets = folder / "secrets"
        self.prepare()
        self.port = 0
        held_page, held_proxy = HeldPort(), HeldPort()
        self.page_port, self.proxy_port = held_page.release(), held_proxy.release()
        self.processes: list[Process] = []

    def prepare(self) -> None:
        """The command of the service, on a folder of ours."""
        argv = [DEPLOY / "compose" / "prepare.sh", DEPLOY / "broker", self.secrets]
        subprocess.run(argv, check=True, capture_output=True)

    def settings(self, name: str) -> Path:
        """A settings file as it ships, with places put in."""
        text = (DEPLOY / "compose" / name).read_text(encoding="utf-8")
        for theirs, ours in (
            ('"mosquitto"', '"localhost"'), ("port = 8883", f"port = {self.port}"),
            ("kafka:9092", self.stack.kafka_bootstrap), ("http://influxdb:8086", self.stack.influx_url),
            ("/run/vantel", str(self.secrets)), ('"/data', f'"{DATA}'),
            ("/var/lib/vantel", str(self.folder / name.removesuffix(".toml"))),
        ):  # fmt: skip
            text = text.replace(theirs, ours)
        if name == "cloud.toml":
            text += f"\n[http]\nbridge_port = 0\nworker_port = 0\n[web]\nport = {self.page_port}\n"
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, service: str) -> Process:
        """A service's command as a process."""
        inside = next(v for v in SERVICES[service]["volumes"] if v.startswith("./compose/")).split(":")[0]
        config = self.settings(Path(inside).name)
        program = "edge" if service in VANS else "cloud"
        words = [
            str(config) if word.startswith("/etc/vantel/") else word for word in SERVICES[service]["command"]
        ]
        env = {key: self.put_in(value) for key, value in SERVICES[service].get("environment", {}).items()}
        process = Process(
            service,
            [sys.executable, "-m", program, *words],
            {**os.environ, **env},
            self.folder / f"{service}.log",
        )
        process.start()
        self.processes.append(process)
        return process

    def put_in(self, text: str) -> str:
        """Folders and ports of this machine in a value of the proxy and the page."""
        for theirs, ours in (
            ("/run/vantel", str(self.secrets)), ("8443", str(self.proxy_port)), ("127.0.0.1:8080", f"127.0.0.1:{self.page_port}"),
            ("/tmp/nginx", str(self.folder / "nginx")),
        ):  # fmt: skip
            text = text.replace(theirs, ours)
        return text

    def run_proxy(self) -> Process:
        """nginx with the settings of the proxy."""
        config = self.folder / "nginx.conf"
        text = (DEPLOY / "compose" / "nginx.conf").read_text(encoding="utf-8")
        user = f"user {getpass.getuser()};\n" if os.geteuid() == 0 else ""
        config.write_text(user + self.put_in(text), encoding="utf-8")
        program = find_server("nginx")
        process = Process("proxy", [program.path, "-c", config], program.env, self.folder / "proxy.log")
        process.start()
        self.processes.append(process)
        return process

    def ask_page(self, path: str, password: str | None) -> tuple[int, str]:
        """Status and body of the page through the proxy, the certificate checked by the CA that prepare.sh made."""
        request = urllib.request.Request(f"https://localhost:{self.proxy_port}{path}")
        if password is not None:
            login = base64.b64encode(f"vantel:{password}".encode()).decode()
            request.add_header("Authorization", f"Basic {login}")
        context = ssl.create_default_context(cafile=str(self.secrets / "ca.pem"))
        try:
            with urllib.request.urlopen(request, timeout=60, context=context) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, ""
        except OSError:
            return 0, ""

    def acked(self, van: str) -> float:
        """Envelopes of a van that the cloud has."""
        try:
            return float(read_status(self.folder / van)["uplink"]["acked"])
        except StatusError:
            return 0.0


@pytest.mark.servers
@pytest.mark.e2e
def test_the_same_commands_and_settings_without_containers(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("compose")
    with Stack(folder / "stack") as stack:
        desk = Desk(folder, stack)
        token = (desk.secrets / "influx.token").read_bytes()
        desk.prepare()
        assert (desk.secrets / "influx.token").read_bytes() == token, "a second run keeps what is there"
        with ProductionBroker(folder / "mosquitto", Certificates(desk.secrets)) as broker:
            desk.port = broker.port
            query = InfluxQuery(load_cloud(desk.settings("cloud.toml")).influx)
            query.ensure_database()
            try:
                assert desk.run("provision").wait(180) == 0
                for service in ("bridge", "worker", "page", *VANS):
                    desk.run(service)
                give_up_s = time.monotonic() + 240
                while not (
                    all(desk.acked(van) for van in VANS) and set(query.count_points_by_van()) == set(VANS)
                ):
                    running = [process.name for process in desk.processes if process.running]
                    tails = "\n".join(process.log_tail(5) for process in desk.processes)
                    assert len(running) == 6, f"only {running} run:\n{tails}"
                    assert time.monotonic() < give_up_s, tails
                    time.sleep(0.3)
                desk.run_proxy()
                password = (desk.secrets / "page.password").read_text().strip()
                while desk.ask_page("/healthz", None)[0] != 200:
                    assert time.monotonic() < give_up_s + 60, "\n".join(p.log_tail(5) for p in desk.processes)
                    time.sleep(0.3)
                status, body = desk.ask_page("/api/fleet", password)
                assert status == 200
                assert {row[0] for row in json.loads(body)["rows"]} == set(VANS)
                assert desk.ask_page("/", None)[0] == 401, "nobody without the login"
                assert desk.ask_page("/", "wrong")[0] == 401
            finally:
                for process in desk.processes:
                    process.stop()
