"""Mobile modems: ModemManager over D-Bus, counters of the interface, round trip to the broker.

Goal: what ModemManager, the kernel and a TCP server say is what the agent has; without any of them the others go on; nonsense is
counted by name and gives no sample.
Method: a real D-Bus daemon with a stand-in for ModemManager (made after its reference), a TCP server, files of an interface; the
whole agent.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, Variant

from edge.sources.modem_manager import (
    CONNECTED,
    GPP,
    LOCATION,
    MODEM,
    ROOT,
    SERVICE,
    SIGNAL,
    TECHNOLOGIES,
    cell_id,
    readings,
)
from tests.edge.sources.bus_rig import BusRig
from tests.edge.sources.test_gnss import by_name, wait_until
from tests.edge.test_agent_process import NO_BROKER_PORT
from vantel.catalog import builtin
from vantel_rig.van import Van

M = "Vehicle.Robovan.Modem1."
PATH = f"{ROOT}/Modem/3"


class StandIn:
    """Answers as ModemManager does, from tables that the test changes."""

    def __init__(self) -> None:
        self.modem: dict[str, Any] = {
            "State": Variant("i", CONNECTED), "AccessTechnologies": Variant("u", 1 << 14 | 1 << 15),
            "EquipmentIdentifier": Variant("s", "490154203237518"),
        }  # fmt: skip
        self.lte: dict[str, Any] = {
            name: Variant("d", value)
            for name, value in (("rsrp", -97.0), ("rsrq", -11.0), ("snr", 4.5), ("rssi", -66.0))
        }
        self.nr: dict[str, Any] = {
            name: Variant("d", value) for name, value in (("rsrp", -90.0), ("rsrq", -10.5), ("snr", 15.5))
        }
        self.rate = 0
        self.location: dict[int, Any] = {1: Variant("s", "262,02,FFFE,5C42257,014A1B")}
        self.silent = False

    def answer(self, message: Message) -> Message | None:
        if self.silent:
            return None
        if message.member == "GetManagedObjects":
            objects = {PATH: {
                MODEM: self.modem,
                GPP: {"RegistrationState": Variant("u", 5), "OperatorName": Variant("s", "Vodafone.de"), "Imei": Variant("s", "490154203237518")},
                SIGNAL: {"Rate": Variant("u", self.rate), "Lte": Variant("a{sv}", self.lte), "Nr5g": Variant("a{sv}", self.nr)},
                LOCATION: {"Enabled": Variant("u", 1)},
            }}  # fmt: skip
            return Message.new_method_return(message, "a{oa{sa{sv}}}", [objects])
        if message.member == "Setup":
            self.rate = message.body[0]
            return Message.new_method_return(message)
        if message.member == "GetLocation":
            return Message.new_method_return(message, "a{uv}", [self.location])
        return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", "no")


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[BusRig]:
    rig = BusRig(tmp_path / "bus")
    yield rig
    rig.stop()


def plant(root: Path, sent: str = "123456") -> None:
    folder = root / "sys/class/net/wwan0/statistics"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tx_bytes").write_text(sent)
    (folder / "rx_bytes").write_text("9876543210\n")


def test_a_modem_goes_through_the_whole_agent(bus: BusRig, tmp_path: Path) -> None:
    manager, root = StandIn(), tmp_path / "root"
    bus.serve(SERVICE, manager.answer)
    plant(root)
    with socket.create_server(("127.0.0.1", 0)) as broker:
        source = {"kind": "modem", "bus": bus.address, "period_s": 0.2, "interface": "wwan0", "root": str(root),
                  "round_trip_to": f"127.0.0.1:{broker.getsockname()[1]}", "round_trip_period_s": 0.2}  # fmt: skip
        van = Van("modem-1", tmp_path, NO_BROKER_PORT, [source, {"kind": "probe", "rate_hz": 50.0}])
        van.start()
        van.wait_ready()

        def counted(name: str) -> int:
            return int(van.status()["sources"]["modem"].get(name, 0))

        wait_until(lambda: counted("samples_emitted") > 60, lambda: None)
        assert manager.rate == 1, "ModemManager is told to ask the modem"
        manager.nr["rsrp"], manager.lte["rssi"] = Variant("d", -1e308), Variant("d", 99.0)
        manager.location = {1: Variant("s", "262,02,FFFE,nonsense,014A1B")}
        plant(root, "-5")
        wait_until(
            lambda: (
                min(
                    counted(n)
                    for n in (
                        "odd_RSRP",
                        "odd_RSSI",
                        "answer_odd",
                        "file_odd:sys/class/net/wwan0/statistics/tx_bytes",
                    )
                )
                > 0
            ),
            lambda: None,
        )
        manager.silent = True
        wait_until(lambda: counted("bus_failed") > 0, lambda: None)

        def probed() -> int:
            return int(van.status()["sources"]["probe"]["samples_emitted"])

        before, failed = probed(), counted("bus_failed")
        wait_until(lambda: probed() >= before + 100 and counted("bus_failed") > failed, lambda: None)
    wait_until(lambda: counted("round_trip_failed") > 0, lambda: None)
    assert van.stop() == 0, van.tail()
    found = by_name(van, [source, {"kind": "probe", "rate_hz": 50.0}])
    wanted: dict[str, Any] = {
        "RSRP": -90.0, "RSRQ": -10.5, "SINR": 15.5, "RSSI": -66.0, "IsConnected": 1, "IsRoaming": 1,
        "Technology": TECHNOLOGIES.index("NR_NSA"), "CellId": 0x5C42257, "Operator": "Vodafone.de", "BytesSent": 123456,
        "BytesReceived": 9876543210,
    }  # fmt: skip
    for name, value in wanted.items():
        assert set(found[M + name]) == {value}, name
    assert all(0 < value < 5000 for value in found[f"{M}RTT"])
    assert "490154203237518" not in str(found), "no number of the equipment leaves the van"


def test_without_modem_manager_the_rest_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "root"
    plant(root)
    source = {
        "kind": "modem",
        "bus": f"unix:path={tmp_path}/none",
        "period_s": 0.2,
        "interface": "wwan0",
        "root": str(root),
    }
    van = Van("modem-2", tmp_path, NO_BROKER_PORT, [source])
    van.start()
    van.wait_ready()
    wait_until(lambda: van.status()["sources"]["modem"].get("bus_failed", 0) > 3, lambda: None)
    assert van.stop() == 0, van.tail()
    assert by_name(van, [source]).keys() == {f"{M}BytesSent", f"{M}BytesReceived"}


@pytest.mark.parametrize(
    ("bits", "name"),
    [
        (0, "NONE"),
        (1, "UNKNOWN"),
        (1 << 1, "GSM"),
        (1 << 8, "UMTS"),
        (1 << 14, "LTE"),
        (1 << 15, "NR_SA"),
        (3 << 14, "NR_NSA"),
    ],
)
def test_technologies(bits: int, name: str) -> None:
    assert readings({MODEM: {"AccessTechnologies": bits}}) == {"Technology": float(TECHNOLOGIES.index(name))}
    assert builtin().by_name(f"{M}Technology").labels == TECHNOLOGIES


def test_what_a_modem_does_not_tell_is_absent() -> None:
    assert readings({}) == {}
    assert (
        readings({MODEM: {}, SIGNAL: {"Lte": {}, "Nr5g": {}, "Rate": 0}, GPP: {"RegistrationState": 2}}) == {}
    )
    assert cell_id({}) is None
    assert cell_id({1: "262,02,FFFE,0,0"}) is None
    with pytest.raises(ValueError):
        cell_id({1: "262"})
    with pytest.raises((TypeError, ValueError)):
        readings({SIGNAL: {"Lte": 5}})
