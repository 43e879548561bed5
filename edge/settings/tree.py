"""All settings of the agent in one frozen tree, read once in __main__.

Order: defaults here < TOML file < environment (VANTEL_EDGE__SPOOL__BYTES_MAX=...). Unknown keys are refused, every
bound is checked at load. Secrets come from the environment or a file path, never from the TOML file itself.
"""

from __future__ import annotations

import difflib
import re
import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from edge.settings.detector import DetectorSection
from edge.settings.receivers import GnssSource, ImuSource, ModemSource, UnitsSource
from edge.settings.section import Count, Positive, Section
from edge.settings.sources import (
    CanSource,
    ProbeSource,
    RecordingSection,
    ReplaySource,
    SignalMap,
    SourceSection,
    SyntheticSource,
    SystemSource,
)
from vantel.identity import check_van_id
from vantel.payloads import BATCH_SAMPLES_MAX

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "CanSource",
    "EdgeSettings",
    "GnssSource",
    "ImuSource",
    "ModemSource",
    "ProbeSource",
    "RecordingSection",
    "ReplaySource",
    "SettingsError",
    "SignalMap",
    "SyntheticSource",
    "SystemSource",
    "UnitsSource",
    "load",
]


class VanSection(Section):
    """Who this van is and where it keeps its state."""

    id: str = Field(description="pseudonym of the van, never a VIN")
    state_dir: Path = Field(Path("/var/lib/vantel"), description="spool, epoch, catalogs, status")
    coordinate_system: Literal["wgs84", "gcj02"] = Field("wgs84", description="datum of the van's positions")

    @field_validator("id")
    @classmethod
    def _legal(cls, value: str) -> str:
        return check_van_id(value)


class MqttSection(Section):
    """The broker."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    plaintext: Literal["loopback", "anywhere"] = Field("loopback", description="where plaintext is allowed")
    keepalive_s: Annotated[int, Field(ge=5, le=1200)] = 30
    session_expiry_s: Annotated[int, Field(ge=0)] = 3600


class FaultSection(Section):
    """A fault put into a signal, for rigs and the demo. Marked in quality and event."""

    signal: str
    kind: Literal["spike", "stuck", "dropout", "bias", "drift", "noise"]
    magnitude: float = Field(
        0.0, description="unit of the signal; drift: unit per second; noise: standard deviation"
    )
    at_s: Annotated[float, Field(ge=0)] = Field(
        0.0, description="seconds after the first sample of the signal"
    )
    for_s: Annotated[float, Field(ge=0)] = Field(0.0, description="length; 0: one sample")
    every_s: Annotated[float, Field(ge=0)] = Field(0.0, description="repeat; 0: once")
    mark: str = Field("fault", max_length=64)


class QueueSection(Section):
    """Bounded queues between threads: seconds of the configured rates, bounded in bytes."""

    source_bytes_max: Count = 8 * 1024 * 1024
    spool_bytes_max: Count = 8 * 1024 * 1024


class RingSection(Section):
    """The past that a trigger may look back on."""

    seconds: Positive = 60.0
    bytes_max: Count = 24 * 1024 * 1024


class SamplerRule(Section):
    """What of some signals goes into batches; the first rule that fits a signal counts."""

    signals: Annotated[list[str], Field(min_length=1, description="names, with * and ?")]
    period_s_min: Annotated[float, Field(ge=0)] = Field(0.0, description="at most one sample in so long")
    deadband: Annotated[float, Field(ge=0)] | None = Field(
        None, description="only when it differs by more than this from the last one sent; 0: on change"
    )
    silence_s_max: Annotated[float, Field(ge=0)] = Field(
        0.0, description="also without change after so long; 0: only at keyframes"
    )


class SamplerSection(Section):
    """Fewer samples in batches; rings and detector see all. Without rules everything is sent."""

    keyframe_s: Annotated[float, Field(ge=0, le=3600)] = Field(
        60.0, description="every ruled signal once in so long, so that a state can be rebuilt; 0: never"
    )
    rules: list[SamplerRule] = Field(default_factory=list)

    @model_validator(mode="after")
    def _never_silent(self) -> SamplerSection:
        for rule in self.rules:
            if rule.deadband is not None and not self.keyframe_s and not rule.silence_s_max:
                raise ValueError(
                    f"{rule.signals}: a deadband needs silence_s_max or keyframe_s, or nobody knows silence from loss"
                )
        return self


class BatchSection(Section):
    """When batches close."""

    window_s: Positive = 10.0
    window_live_s: Positive = Field(1.0, description="while watched, or after an event")
    live_after_event_s: Annotated[float, Field(ge=0)] = 30.0
    samples_max: Annotated[int, Field(ge=1, le=BATCH_SAMPLES_MAX)] = 30_000
    fidelity: Literal["rollup", "full"] = "rollup"

    @model_validator(mode="after")
    def _multiple(self) -> BatchSection:
        ratio = self.window_s / self.window_live_s
        if ratio < 1 or abs(ratio - round(ratio)) > 1e-9:
            raise ValueError("window_s must be a whole multiple of window_live_s")
        return self


class SpoolSection(Section):
    """Disk use and durability of the spool."""

    segment_bytes_max: Annotated[int, Field(ge=65_536, le=64 * 1024 * 1024)] = 4 * 1024 * 1024
    bytes_max: Annotated[int, Field(ge=1024 * 1024)] = 2 * 1024 * 1024 * 1024
    p0_reserve_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024
    keep_free_bytes: Annotated[int, Field(ge=0)] = 512 * 1024 * 1024
    files_max: Annotated[int, Field(ge=64)] = 4096
    p0_reserve_files: Annotated[int, Field(ge=0)] = 32
    keep_free_files: Annotated[int, Field(ge=0)] = 1024
    group_s_max: Positive = 1.0
    group_bytes_max: Count = 256 * 1024
    cursor_period_s: Positive = 5.0

    @model_validator(mode="after")
    def _room(self) -> SpoolSection:
        if self.bytes_max < 3 * self.segment_bytes_max + self.p0_reserve_bytes:
            raise ValueError("bytes_max must hold three segments and p0_reserve_bytes")
        if self.files_max < self.bytes_max // self.segment_bytes_max + self.p0_reserve_files:
            raise ValueError(
                "files_max must be at least bytes_max / segment_bytes_max + p0_reserve_files; "
                "raise it, or segment_bytes_max"
            )
        return self


class ClockSection(Section):
    """Time: how long envelopes wait for it after a start without, and where it comes from besides NTP."""

    p0_wait_s: Annotated[float, Field(ge=0, le=600)] = Field(
        30.0, description="events wait so long for a clock; no wait in replay and synthetic"
    )
    wait_s: Annotated[float, Field(ge=0, le=3600)] = Field(600.0, description="the same for all else")
    ptp_device: Path | None = Field(None, description="hardware clock that ptp4l keeps, as /dev/ptp0")
    fixes_file: Path | None = Field(
        None, description="rig only: recorded NMEA sentences, each line: seconds since the start, sentence"
    )

    @model_validator(mode="after")
    def _order(self) -> ClockSection:
        if self.wait_s < self.p0_wait_s:
            raise ValueError("wait_s must not be below p0_wait_s: events go first")
        return self


class UplinkSection(Section):
    """Sending: window, resend, back-off."""

    inflight_max: Annotated[int, Field(ge=1, le=1000)] = 16
    resend_after_s: Positive = 30.0
    resend_after_s_max: Positive = 600.0
    backoff_s_min: Positive = 1.0
    backoff_s_max: Positive = 120.0
    stable_after_s: Positive = 30.0
    live_age_s_max: Positive = 30.0
    backlog_bytes_s_min: Positive = Field(
        1000.0, description="the backlog has at least this where live data alone fills the link"
    )
    stalled_after_s: Positive = Field(
        300.0, description="backlog without an acked byte for so long rebuilds the client"
    )
    p1_day_bytes_max: Annotated[int, Field(ge=0)] | None = Field(
        None, description="telemetry that may be sent in a UTC day, resends included; P0 is never held"
    )
    p2_day_bytes_max: Annotated[int, Field(ge=0)] | None = Field(None, description="the same for bulk")
    metered: Literal["never", "file", "always"] = Field(
        "file", description="file: while metered_file exists the link is metered"
    )
    metered_file: Path | None = Field(None, description="default: the file metered in van.state_dir")
    p1_metered_day_bytes_max: Annotated[int, Field(ge=0)] = Field(
        0, description="telemetry in a day while the link is metered, which counts for the day too"
    )
    p2_metered_day_bytes_max: Annotated[int, Field(ge=0)] = 0


class CaptureSection(Section):
    """Captures kept on the van; what goes up lies in the spool besides."""

    bytes_max: Count = 512 * 1024 * 1024
    clips_max: Annotated[int, Field(ge=1, le=10_000)] = 256
    holds_max: Annotated[int, Field(ge=0, le=10_000)] = 64
    hold_days_max: Positive = 90.0
    fetch_bytes_max: Count = Field(
        16 * 1024 * 1024, description="bodies that one fetch of a time range may take from the disk"
    )


class CampaignSection(Section):
    """Campaigns: who may say what this van collects."""

    keys_file: Path | None = Field(
        None, description="public keys of the operators, PEM; without it every campaign is refused"
    )


class HealthSection(Section):
    """Reports of the agent about itself."""

    period_s: Positive = 10.0
    status_period_s: Positive = 1.0


class LogSection(Section):
    """Structured logs on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "text"


class EdgeSettings(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="VANTEL_EDGE__", env_nested_delimiter="__"
    )

    van: VanSection
    mqtt: MqttSection = MqttSection()
    sources: Annotated[list[SourceSection], Field(min_length=1)]
    faults: list[FaultSection] = Field(default_factory=list)
    faults_file: Path | None = Field(
        None, description="rig only: JSON lines of [[faults]] appended while running"
    )
    queue: QueueSection = QueueSection()
    ring: RingSection = RingSection()
    detector: DetectorSection = DetectorSection()
    sampler: SamplerSection = SamplerSection()
    batch: BatchSection = BatchSection()
    spool: SpoolSection = SpoolSection()
    clock: ClockSection = ClockSection()
    uplink: UplinkSection = UplinkSection()
    capture: CaptureSection = CaptureSection()
    campaign: CampaignSection = CampaignSection()
    health: HealthSection = HealthSection()
    log: LogSection = LogSection()

    @model_validator(mode="after")
    def _one_clock(self) -> EdgeSettings:
        replays = [source for source in self.sources if isinstance(source, ReplaySource)]
        if len(replays) > 1:
            raise ValueError(
                "sources: one replay source only; put all recordings into it, they are merged by time"
            )
        if replays and replays[0].time == "original" and len(self.sources) > 1:
            raise ValueError(
                'sources: a replay with time = "original" lives on the recording\'s clock: no other source'
            )
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError(f"sources: names must differ, got {names}")
        return self

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


_UNION_MEMBER = re.compile(r"(list|dict)\[.*\]")


class SettingsError(Exception):
    """Settings that cannot be used; the text names file, key, cause and fix, one line each."""


def load(path: Path) -> EdgeSettings:
    """Read and check the settings. SettingsError names the file, each wrong key and what is wrong with it."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise SettingsError(
            f"cannot read settings {path}: {cause.strerror}; give another file with --config"
        ) from cause
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise SettingsError(f"settings {path} are not TOML: {cause}") from cause
    try:
        return EdgeSettings(**tree)
    except ValidationError as cause:
        raise SettingsError("\n".join(_explain(path, cause))) from cause


def _explain(path: Path, error: ValidationError) -> list[str]:
    """One line for each wrong key."""
    told: dict[str, list[str]] = {}
    for item in error.errors():
        # pydantic names the members of a union, such as list[Path], among the keys
        parts = [str(part) for part in item["loc"] if not _UNION_MEMBER.fullmatch(str(part))]
        told.setdefault(".".join(parts) or "(whole file)", []).append(_message(item))
    return [f"{path}: {key}: {', or: '.join(messages)}" for key, messages in told.items()]


def _message(item: ErrorDetails) -> str:
    """What is wrong, and the fix: the nearest known key for a misspelt one."""
    context = item.get("ctx", {})
    match item["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(str(item["loc"][-1]), _known_keys(), n=1)
            return "unknown key; " + (
                f"did you mean {near[0]}?" if near else "remove it (deploy/edge/edge.toml has all keys)"
            )
        case "missing":
            return "missing; add it to the file or the environment"
        case "union_tag_invalid":
            return f"unknown kind {context['tag']!r}; known are {context['expected_tags']}"
        case "union_tag_not_found":
            return "kind is missing; add it"
    told = item["msg"].removeprefix("Value error, ")
    return told if isinstance(item.get("input"), dict) else f"{told} (got {item.get('input')!r})"


def _known_keys() -> set[str]:
    """Every key of every section."""
    sections = [EdgeSettings, *Section.__subclasses__()]
    return {name for section in sections for name in section.model_fields}
