"""Settings of the sources: recordings, CAN buses, models, the machine.

Sections of the tree in edge.settings, by [[sources]] kind. Unknown keys are refused, every bound is checked at load.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from edge.settings.receivers import (
    GRAVITY_HELP,
    MOUNTING_HELP,
    GnssSource,
    ImuSource,
    ModemSource,
    UnitsSource,
)
from edge.settings.section import Positive, Section
from vantel.catalog import builtin
from vantel.units import conversion

J1939_HELP = "29-bit ids by parameter group, transport protocol, DM1"
CHECKSUMS_HELP = (
    "verify messages with a checksum of one byte: Message.ChecksumErrors counts what does not fit"
)
ANSWERS_HELP = "file of UDS and OBD-II answers: DIDs, PIDs, trouble codes"
OVERLAY_HELP = "VSS overlay (.vspec) that says which bus signals become which catalog names"


Id = Annotated[int, Field(ge=0, le=0x1FFF_FFFF)]
Byte = Annotated[int, Field(ge=0, le=0xFF)]


class PollRequest(Section):
    """A question that is put on a bus again and again: one DID, one PID, or the trouble codes."""

    request: Id = Field(0x7DF, description="id that is asked; 0x7DF asks every control unit of OBD-II")
    response: Id | list[Id] | None = Field(
        None, description="ids that answer; default: as ISO 15765-4 has them"
    )
    extended: bool = Field(False, description="29-bit ids although they fit into 11")
    address: Byte | None = Field(None, description="first byte of what is sent: extended or mixed addressing")
    response_address: Byte | None = Field(None, description="first byte of the answers' frames")
    did: Annotated[int, Field(ge=0, le=0xFFFF)] | None = None
    pid: Byte | None = None
    trouble_codes: Literal["obd", "uds"] | None = None
    period_s: Annotated[float, Field(ge=0.05)] = 1.0

    @model_validator(mode="after")
    def _one_question(self) -> PollRequest:
        if sum(given is not None for given in (self.did, self.pid, self.trouble_codes)) != 1:
            raise ValueError("give did = (UDS), pid = (OBD-II) or trouble_codes =, one of them")
        if self.response is None and self.address is not None:
            raise ValueError("give response =, the id of the frames that answer")
        known = self.request == 0x7DF or 0x7E0 <= self.request <= 0x7E7 or self.request >> 16 == 0x18DA
        if self.response is None and not known:
            raise ValueError(f"who answers 0x{self.request:X} is in no standard; give response =")
        return self

    def asked(self) -> bytes:
        """Service and parameters."""
        if self.did is not None:
            return bytes((0x22, self.did >> 8, self.did & 0xFF))
        if self.pid is not None:
            return bytes((0x01, self.pid))
        return b"\x03" if self.trouble_codes == "obd" else b"\x19\x02\xff"

    def answer_head(self) -> bytes:
        """First bytes of a positive answer."""
        asked = self.asked()
        return bytes((asked[0] + 0x40,)) + (asked[1:2] if asked[0] == 0x19 else asked[1:])


class PollSection(Section):
    """Requests that the agent sends on this bus. Without this section it never sends."""

    requests: Annotated[list[PollRequest], Field(min_length=1, max_length=200)]
    answer_s_max: Annotated[float, Field(gt=0, le=10)] = Field(
        0.2, description="an answer that does not begin within this is given up"
    )
    gap_s: Annotated[float, Field(ge=0, le=10)] = Field(0.02, description="rest after each answer")
    quiet_s_max: Positive | None = Field(
        None, description="ask only while frames that are no answers came within this: lets the van sleep"
    )


class SignalMap(Section):
    """What a column or bus signal becomes: a catalog name, and value * scale + offset in the catalog's unit.

    unit: instead of scale and offset, the unit that the source has; converted to the catalog's.
    """

    signal: str
    scale: float = 1.0
    offset: float = 0.0
    unit: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _converted(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("unit") is None or given.get("signal") not in builtin():
            return given
        scale, offset = conversion(str(given["unit"]), builtin().by_name(given["signal"]).unit)
        if (given.get("scale", scale), given.get("offset", offset)) != (scale, offset):
            raise ValueError("give unit, or scale and offset, not both")
        return {**given, "scale": scale, "offset": offset}


class RecordingSection(Section):
    """One file of a replay. format auto goes by the file name, ignoring a .gz ending."""

    path: Path
    format: Literal["auto", "can", "csv", "gnss", "tegrastats"] = "auto"
    name: str | None = Field(
        None, description="prefix of local signal names; default can, or the file's stem"
    )
    dbc: list[Path] | dict[str, Path | list[Path]] = Field(
        default_factory=list, description="DBC files for all channels, or by channel"
    )
    signals: list[str] = Field(
        default_factory=lambda: ["*"], description="CAN: what to keep: Message.Signal, with * and ?"
    )
    j1939: bool = Field(False, description=J1939_HELP)
    checksums: bool = Field(False, description=CHECKSUMS_HELP)
    answers: Path | None = Field(None, description=ANSWERS_HELP)
    map: dict[str, SignalMap | str] = Field(default_factory=dict, description="local name to catalog name")
    overlay: Path | None = Field(None, description=OVERLAY_HELP)
    time_column: str | None = Field(None, description="CSV: column with the time; default the first column")
    time_unit: Literal["s", "ms", "us", "ns"] = "s"
    text_columns: list[str] = Field(default_factory=list, description="CSV: columns kept as text")
    mounting_deg: tuple[float, float, float] = Field((0.0, 0.0, 0.0), description=MOUNTING_HELP)
    gravity_deg_max: Annotated[float, Field(gt=0, le=180)] = Field(10.0, description=GRAVITY_HELP)
    start_unix_s: float | None = Field(
        None, description="gives the first sample this time; for logs without a date"
    )


class ReplaySource(Section):
    """Recorded drives as a source: all recordings are merged by time into one stream."""

    kind: Literal["replay"]
    name: str = "replay"
    recordings: Annotated[list[RecordingSection], Field(min_length=1)]
    time: Literal["original", "shifted"] = "original"
    speed: Annotated[float, Field(ge=0)] = Field(
        1.0, description="1 is real time, 0 as fast as the pipeline takes it"
    )
    loop: bool = False
    start_offset_s: Annotated[float, Field(ge=0)] = Field(
        0.0, description="begin this far into the recording"
    )
    at_end: Literal["stay", "exit"] = Field("stay", description="exit: leave once the spool is drained")

    @model_validator(mode="after")
    def _consistent(self) -> ReplaySource:
        if self.loop and self.time == "original":
            raise ValueError('loop = true needs time = "shifted": original stamps can be replayed once only')
        if self.time == "shifted" and self.speed == 0:
            raise ValueError('speed = 0 needs time = "original": shifted stamps follow the clock')
        return self


class SyntheticFault(Section):
    """A fault or emergency of the synthetic van."""

    kind: Literal[
        "door_open_while_moving", "autonomy_lost", "collision", "over_temperature",
        "remote_session", "emergency_stop", "minimal_risk_stop", "lidar_dirty",
    ]  # fmt: skip
    at_s: Annotated[float, Field(ge=0)] = Field(
        0.0, description="so long after the start, or when the van drives by itself next"
    )
    for_s: Annotated[float, Field(ge=0)] = Field(10.0, description="how long; of a stop, how long at rest")
    every_s: Annotated[float, Field(ge=0)] = Field(0.0, description="again after so long; 0: once")


class SyntheticSource(Section):
    """A seeded model of a van on its delivery rounds; its output is marked simulated."""

    kind: Literal["synthetic"]
    name: str = "synthetic"
    seed: int = 1
    rate_hz: Annotated[float, Field(gt=0, le=1000)] = 10.0
    signals: list[str] = Field(
        default_factory=lambda: ["*"],
        description="which to emit, with * and ?; for a van with real sources beside",
    )
    faults: list[SyntheticFault] = Field(
        default_factory=list, description="each { kind, at_s, for_s, every_s }: see docs/synthetic-van.md"
    )
    faults_per_hour: Annotated[float, Field(ge=0, le=600)] = Field(
        0.0, description="faults drawn by the seed, besides those above"
    )


class ProbeSource(Section):
    """One steady noisy signal for fault injection: Vehicle.Robovan.TestBench.Probe."""

    kind: Literal["probe"]
    name: str = "probe"
    seed: int = 1
    rate_hz: Annotated[float, Field(gt=0, le=1000)] = 20.0


class SystemSource(Section):
    """The machine the agent runs on."""

    kind: Literal["system"]
    name: str = "system"
    period_s: Positive = 1.0
    probe_s_max: Annotated[float, Field(gt=0, le=60)] = Field(
        0.5, description="a probe that takes longer is left out until it comes back"
    )
    root: Path = Field(Path("/"), description="rig only: read the board's files of a tree below this folder")

    @model_validator(mode="after")
    def _there(self) -> SystemSource:
        if not self.root.is_dir():
            raise ValueError(
                f"root = {str(self.root)!r} is no folder; leave it out on a van, it is / by default"
            )
        return self


class SocketSource(Section):
    """Samples from other processes over a Unix socket: docs/own-signals.md."""

    kind: Literal["socket"]
    name: str = Field("stack", description="first part of the names of signals that are not built in")
    path: Path = Path("/run/vantel/samples.sock")
    declarations: Path = Field(
        Path("/var/lib/vantel/declared-signals.json"),
        description="what clients declared, kept for the next start",
    )
    users: list[Annotated[int, Field(ge=0)]] = Field(
        default_factory=list, description="user ids that may send; empty: root and the agent's own"
    )
    clients_max: Annotated[int, Field(ge=1, le=256)] = 16
    client_samples_per_s_max: Positive = Field(20_000.0, description="beyond it a client's send waits")
    samples_per_s_max: Positive = Field(50_000.0, description="of all clients together")
    gather_s: Annotated[float, Field(ge=0, le=0.1)] = Field(
        0.005, description="what comes within so long makes one block: processor time against delay"
    )


class PluginSource(Section):
    """A source of another package, by its entry point in the group vantel.sources."""

    kind: Literal["plugin"]
    name: str = "plugin"
    entry_point: str = Field("", description="name of the entry point")
    options: dict[str, Any] = Field(default_factory=dict, description="given to the plug-in as they are")


class CanSource(Section):
    """One CAN bus, live."""

    kind: Literal["can"]
    name: str = Field("", description="default: the channel; first part of local signal names")
    interface: str = Field(
        "socketcan", description="socketcan, udp (struct can_frame in datagrams), or one of python-can's"
    )
    channel: str = Field(
        "can0", description="interface of the kernel, address:port for udp, or what python-can wants"
    )
    options: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="more arguments for python-can, such as bitrate"
    )
    dbc: Path | list[Path] = Field(default_factory=list, description="DBC files of this bus")
    signals: list[str] = Field(
        default_factory=lambda: ["*"], description="what to collect: Message.Signal, with * and ?"
    )
    j1939: bool = Field(False, description=J1939_HELP)
    checksums: bool = Field(False, description=CHECKSUMS_HELP)
    answers: Path | None = Field(None, description=ANSWERS_HELP)
    poll: PollSection | None = Field(None, description="requests to send; without it nothing is ever sent")
    map: dict[str, SignalMap | str] = Field(default_factory=dict, description="local name to catalog name")
    overlay: Path | None = Field(None, description=OVERLAY_HELP)
    gather_s: Annotated[float, Field(ge=0, le=0.1)] = Field(
        0.004, description="frames of so long make one block: processor time against delay"
    )
    receive_bytes_max: Annotated[int, Field(gt=0)] = Field(
        4 * 1024 * 1024, description="buffer of the kernel; without CAP_NET_ADMIN at most net.core.rmem_max"
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        """The channel names a source that has no name."""
        if isinstance(given, dict) and not given.get("name"):
            return {**given, "name": str(given.get("channel", "can0"))}
        return given

    @model_validator(mode="after")
    def _pollable(self) -> CanSource:
        if self.poll is not None and self.interface == "udp":
            raise ValueError('poll needs a bus to send on: interface = "socketcan" or one of python-can\'s')
        if self.poll is not None and self.answers is None:
            raise ValueError("poll needs answers =, the file that says what the answers mean")
        return self


SourceSection = Annotated[
    CanSource
    | ReplaySource
    | SyntheticSource
    | ProbeSource
    | SystemSource
    | GnssSource
    | ImuSource
    | UnitsSource
    | ModemSource
    | SocketSource
    | PluginSource,
    Field(discriminator="kind"),
]
