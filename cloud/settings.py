"""All settings of the cloud side in one frozen tree, read once in __main__.

Order: defaults here < TOML file < environment (VANTEL_CLOUD__INFLUX__URL=...). Unknown keys are refused, every bound
is checked at load. Secrets come from the environment or a file path, never from the TOML file itself.
"""

from __future__ import annotations

import difflib
import re
import sys
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from vantel.topics import parse_shards

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]
Port = Annotated[int, Field(ge=0, le=65535)]
Plaintext = Literal["loopback", "anywhere"]


class Section(BaseModel):
    """A section of the settings: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TlsFiles(Section):
    """Certificate files of one connection, all PEM."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    plaintext: Plaintext = Field("loopback", description="where plaintext is allowed")


class MqttSection(TlsFiles):
    """The broker that the bridge reads from."""

    host: str = "127.0.0.1"
    port: Port = 1883
    client_id: str = "vantel-bridge-0"
    keepalive_s: Annotated[int, Field(ge=5, le=1200)] = 30
    session_expiry_s: Annotated[int, Field(ge=0)] = 86_400
    receive_maximum: Annotated[int, Field(ge=1, le=65535)] = 1000
    backoff_s_min: Positive = 0.5
    backoff_s_max: Positive = 30.0


class KafkaSection(TlsFiles):
    """Kafka, for bridge and worker."""

    bootstrap: str = "127.0.0.1:9092"
    group: str = "vantel-worker"
    security: Literal["plaintext", "ssl", "sasl_ssl"] = "plaintext"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    session_timeout_s: Positive = 6.0
    partitions: Count = 4
    replication: Count = 1
    retention_h: Positive = 168.0


class BridgeSection(Section):
    """Bundling and acks."""

    shards: str = "0-63"
    bundle_window_s: Positive = 0.02
    bundle_messages_max: Count = 50
    bundle_bytes_max: Count = 256 * 1024
    ack_p0_s_max: Positive = 0.2
    ack_s_max: Positive = 5.0
    ack_envelopes_max: Count = 64
    rebirth_period_s: Positive = 5.0

    @field_validator("shards")
    @classmethod
    def _legal(cls, value: str) -> str:
        parse_shards(value)
        return value


class WorkerSection(Section):
    """The stream worker."""

    adapter: Literal["faust", "aiokafka"] = Field(
        "faust", description='what brings its records: "faust", or "aiokafka", a plain Kafka consumer'
    )
    take_max: Count = 64
    take_within_s: Positive = 0.05
    commit_interval_s: Positive = 1.0
    stalled_after_s: Positive = 60.0
    catalog_wait_s_max: Annotated[float, Field(ge=0)] = 60.0
    last_period_s: Positive = Field(1.0, description="shortest time between two last values of one van")


class InfluxSection(Section):
    """The database. org and token are ignored by InfluxDB 1.x behind a /api/v2 rewrite."""

    url: str = "http://127.0.0.1:8086"
    org: str = "vantel"
    bucket: str = "vantel"
    token_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    plaintext: Plaintext = "loopback"
    lines_max: Count = 5000
    bytes_max: Count = 1024 * 1024
    connect_s_max: Positive = 3.0
    read_s_max: Positive = 15.0
    backoff_s_min: Positive = 0.2
    backoff_s_max: Positive = 30.0


class HttpSection(Section):
    """Health and metrics, on loopback. Port 0 takes a free one and logs it."""

    host: Literal["127.0.0.1", "::1", "localhost"] = "127.0.0.1"
    bridge_port: Port = 9101
    worker_port: Port = 9102


class WebSection(Section):
    """The page. It has no login: it listens on loopback, and a reverse proxy in front of it decides who may enter."""

    host: Literal["127.0.0.1", "::1", "localhost"] = "127.0.0.1"
    port: Port = 8080
    title: Annotated[str, Field(max_length=80)] = "Vantel"
    public_origin: str | None = Field(
        None, description="address that a reverse proxy gives the page, as https://fleet.example.org"
    )
    tile_url: str | None = Field(
        None, description="map tiles, as https://tiles.example.org/{z}/{x}/{y}.png; none: a blank grid"
    )
    mqtt_client_id: str = "vantel-page"
    stale_after_s: Positive = 30.0
    events_h_max: Positive = Field(24.0, description="age of the oldest event shown")
    events_max: Count = 10_000
    live_view_s: Annotated[float, Field(ge=5, le=600)] = Field(
        30.0, description="a live view ends by itself after this long without a renewal"
    )
    viewers_max: Count = 100

    @field_validator("public_origin")
    @classmethod
    def _origin(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://localhost")
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path not in {"", "/"}:
            raise ValueError("give scheme and host, as https://fleet.example.org")
        return value.rstrip("/") if value else None

    @field_validator("tile_url")
    @classmethod
    def _tiles(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", parts.netloc):
            raise ValueError("give an address such as https://tiles.example.org/{z}/{x}/{y}.png")
        if any(part not in value for part in ("{z}", "{x}", "{y}")):
            raise ValueError("it must contain {z}, {x} and {y}")
        return value


class CampaignSection(Section):
    """Campaigns."""

    groups: dict[str, list[str]] = Field(
        default_factory=dict,
        description="groups of vans for `campaign push --group`: name to ids, with * and ?",
    )


class LogSection(Section):
    """Structured logs on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class CloudSettings(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="VANTEL_CLOUD__", env_nested_delimiter="__"
    )

    mqtt: MqttSection = MqttSection()
    kafka: KafkaSection = KafkaSection()
    bridge: BridgeSection = BridgeSection()
    worker: WorkerSection = WorkerSection()
    influx: InfluxSection = InfluxSection()
    http: HttpSection = HttpSection()
    web: WebSection = WebSection()
    campaign: CampaignSection = CampaignSection()
    log: LogSection = LogSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file; no dotenv, no secrets folder."""
        return (env_settings, init_settings)


class SettingsError(Exception):
    """Settings that cannot be used; the text names file, key, cause and fix, one line each."""


def load(path: Path | None) -> CloudSettings:
    """Read and check the settings; None means defaults and environment only. SettingsError names each wrong key."""
    tree = {}
    if path is not None:
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as cause:
            raise SettingsError(
                f"cannot read settings {path}: {cause.strerror}; give another with --config"
            ) from cause
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
            raise SettingsError(f"settings {path} are not TOML: {cause}") from cause
    try:
        return CloudSettings(**tree)
    except ValidationError as cause:
        raise SettingsError("\n".join(_explain(path or Path("(environment)"), cause))) from cause


def _explain(path: Path, error: ValidationError) -> list[str]:
    """One line for each wrong key, with the nearest known key for a misspelt one."""
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "(whole file)"
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(item["loc"][-1]), _known_keys(), n=1)
            message = "unknown key" + (f"; did you mean {near[0]}?" if near else "")
        elif not isinstance(item.get("input"), dict):
            message += f" (got {item.get('input')!r})"
        lines.append(f"{path}: {key}: {message}")
    return lines


def _known_keys() -> set[str]:
    """Every key of every section."""
    sections = [CloudSettings, *Section.__subclasses__(), *TlsFiles.__subclasses__()]
    return {name for section in sections for name in section.model_fields}
