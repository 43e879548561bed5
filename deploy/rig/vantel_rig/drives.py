"""The recorded drives that ship with the project, as [[sources]] of a van's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[3] / "tests" / "data"
SHIFT_S = 7.0
"""A van that reuses a drive begins this much further into it than the van before."""


def _place(message: str) -> dict[str, str]:
    """Position signals of a bus message under the names that the page looks for."""
    return {f"{message}.{leaf}": f"Vehicle.CurrentLocation.{leaf}" for leaf in ("Latitude", "Longitude")}


def _rav4() -> list[dict[str, Any]]:
    can, imu = DATA / "can" / "rav4_2016", DATA / "imu_gnss" / "rav4_2016"
    position = {"lat_deg": "Latitude", "lon_deg": "Longitude", "alt_m": "Altitude", "bearing_deg": "Heading"}
    return [
        {
            "path": str(can / "rav4_can.log.gz"),
            "dbc": {
                "can0": str(can / "toyota_new_mc_pt_generated.dbc"),
                "can1": str(can / "toyota_adas.dbc"),
            },
            "map": {"can0.SPEED.SPEED": "Vehicle.Speed"},
        },
        {"path": str(imu / "imu_104hz.csv.gz"), "name": "imu"},
        {
            "path": str(imu / "gnss_ublox_10hz.csv.gz"),
            "name": "gnss",
            "map": {column: f"Vehicle.CurrentLocation.{leaf}" for column, leaf in position.items()},
        },
    ]


def _ev6() -> list[dict[str, Any]]:
    can = DATA / "can" / "ev6_uds_2023"
    return [
        {
            "path": str(can / "ev6_uds_gnss.log.gz"),
            "dbc": {"can2": str(can / "gnss.dbc")},
            "map": _place("can2.gnss_pos"),
        },
        {"path": str(DATA / "jetson" / "agx_orin_maxn_part1.tegrastats.log.gz"), "name": "board"},
    ]


def _obd() -> list[dict[str, Any]]:
    can = DATA / "can" / "obd_gnss_2024"
    return [
        {
            "path": str(can / "obd_gnss_imu_10min.blf"),
            "dbc": [str(can / "canedge-internal-can9.dbc"), str(can / "OBD-v4.4.dbc")],
            "map": _place("can9.GnssPos") | {"can1.OBD_RX.S01PID0D_VehicleSpeed": "Vehicle.Speed"},
        }
    ]


DRIVES = {"rav4": _rav4, "ev6": _ev6, "obd": _obd}


def drive(number: int, *, time: str = "shifted", speed: float = 1.0, loop: bool = True) -> dict[str, Any]:
    """The replay source of van number 0, 1, 2, ...: the drives in turn, each reuse beginning further in."""
    name = list(DRIVES)[number % len(DRIVES)]
    return {
        "kind": "replay",
        "name": name,
        "recordings": DRIVES[name](),
        "time": time,
        "speed": speed,
        "loop": loop,
        "start_offset_s": SHIFT_S * (number // len(DRIVES)),
    }


def replay(
    path: Path, dbc: Path | list[Path] | dict[str, Path] | None = None, **options: Any
) -> dict[str, Any]:
    """The replay source of one recording of the rig's own, once, at its own pace, then the van leaves.

    options go into the source (time, speed, loop, start_offset_s, at_end); a CAN log needs its DBC files.
    """
    recording: dict[str, Any] = {"path": str(path)}
    if isinstance(dbc, dict):
        recording["dbc"] = {channel: str(file) for channel, file in dbc.items()}
    elif dbc is not None:
        recording["dbc"] = [str(file) for file in ([dbc] if isinstance(dbc, Path) else dbc)]
    return {"kind": "replay", "time": "shifted", "at_end": "exit", "recordings": [recording], **options}
