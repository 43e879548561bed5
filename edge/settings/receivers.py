"""Settings of the receivers and sensors beside the buses: GNSS, IMU, services, modem."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.settings.address import host_and_port
from edge.settings.section import Positive, Section

UNITS_MAX = 64
MOUNTING_HELP = "roll, pitch, yaw from the sensor to the van: X forward, Y left, Z up"
GRAVITY_HELP = "gravity further off than this: the mounting is wrong"


class GnssSource(Section):
    """One GNSS receiver, live."""

    kind: Literal["gnss"]
    name: str = "gnss"
    protocol: Literal["gpsd", "receiver"] = Field(
        "gpsd", description="gpsd: its JSON over TCP; receiver: NMEA 0183 and UBX as the receiver sends them"
    )
    address: str = Field("127.0.0.1:2947", description="host:port, or a device such as /dev/ttyACM0")
    baud: Annotated[int, Field(ge=1200, le=4_000_000)] = Field(9600, description="of a serial port")
    silence_s_max: Positive = Field(10.0, description="nothing heard for so long: opened again")
    sets_time: bool = Field(True, description="offer its time to the clock of the van")
    primary: bool = Field(
        True, description="false for a second receiver: its signals are called NAME.Latitude and so on"
    )

    @model_validator(mode="after")
    def _reachable(self) -> GnssSource:
        is_tcp = host_and_port(self.address) is not None
        if not is_tcp and not self.address.startswith("/"):
            raise ValueError(
                f"address = {self.address!r} is neither host:port nor the path of a device; "
                'gpsd listens on "127.0.0.1:2947", a receiver on USB is "/dev/ttyACM0"'
            )
        if self.protocol == "gpsd" and not is_tcp:
            raise ValueError(
                f'protocol = "gpsd" is spoken over TCP, and {self.address} is a device; set protocol = "receiver", '
                "or give the address of gpsd"
            )
        if Path(self.address).is_file():
            raise ValueError(
                f'{self.address} is a file, not a device; replay it: kind = "replay", with format = "gnss"'
            )
        return self


class ImuSource(Section):
    """One inertial sensor on Linux' Industrial I/O, live."""

    kind: Literal["imu"]
    name: str = "imu"
    device: Annotated[
        str, Field(min_length=1, description="name of the IIO device, as in its sysfs file name")
    ]
    measures: list[Literal["accel", "anglvel"]] = Field(["accel", "anglvel"], min_length=1)
    rate_hz: Annotated[float, Field(gt=0, le=4000)] = 100.0
    mounting_deg: tuple[float, float, float] = Field((0.0, 0.0, 0.0), description=MOUNTING_HELP)
    gravity_deg_max: Annotated[float, Field(gt=0, le=180)] = Field(10.0, description=GRAVITY_HELP)
    primary: bool = Field(True, description="false for a second sensor: its signals begin with NAME")
    root: Path = Field(Path("/"), description="rig only: a tree with sys/bus/iio and dev below this folder")


class UnitsSource(Section):
    """Services under systemd, and a tree of their health."""

    kind: Literal["units"]
    name: str = "units"
    units: list[str] = Field(
        default_factory=list, description="units that are meant to run, with their endings"
    )
    groups: dict[str, list[str]] = Field(
        default_factory=dict, description="nodes of the tree of health: name to units"
    )
    period_s: Annotated[float, Field(ge=0.1, le=3600)] = 1.0
    hold_s: Annotated[float, Field(ge=0)] = Field(60.0, description="a restart is a warning for so long")
    bus: str = Field("", description="address of a D-Bus; default: the system's")

    @property
    def all_units(self) -> tuple[str, ...]:
        """Every unit once, in the order of the settings."""
        return tuple(
            dict.fromkeys([*self.units, *(unit for group in self.groups.values() for unit in group)])
        )

    @model_validator(mode="after")
    def _named(self) -> UnitsSource:
        if not 0 < len(self.all_units) <= UNITS_MAX:
            raise ValueError(f'name 1 to {UNITS_MAX} units, as units = ["planner.service"]')
        for unit in self.all_units:
            if "." not in unit or any(char in unit for char in "*?[] /"):
                raise ValueError(
                    f"{unit!r} is no name of a unit; write it out with its ending, as planner.service"
                )
        return self


class ModemSource(Section):
    """A mobile modem under ModemManager, its interface, and the round trip to the broker."""

    kind: Literal["modem"]
    name: str = "modem"
    modem: Literal[1, 2] = Field(
        1, description="which of ModemManager's; signals are Vehicle.Robovan.Modem1 or 2"
    )
    period_s: Annotated[float, Field(ge=0.2, le=3600)] = 5.0
    interface: str = Field("", description="network interface whose bytes are counted, as wwan0")
    round_trip_to: str = Field("", description="host:port of the broker, for the time of a TCP handshake")
    round_trip_period_s: Annotated[float, Field(ge=0.2, le=3600)] = 30.0
    bus: str = Field("", description="address of a D-Bus; default: the system's")
    root: Path = Field(Path("/"), description="rig only: a tree with sys/class/net below this folder")

    @model_validator(mode="after")
    def _reachable(self) -> ModemSource:
        if self.round_trip_to and host_and_port(self.round_trip_to) is None:
            raise ValueError(
                f'round_trip_to = {self.round_trip_to!r} is not host:port, as "mqtt.example.org:8883"'
            )
        if "/" in self.interface or self.interface in (".", ".."):
            raise ValueError(
                f"interface = {self.interface!r} is no name of an interface; `ip link` shows them"
            )
        return self
