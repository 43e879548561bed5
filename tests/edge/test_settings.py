"""Settings of the agent.

Goal: a mistake is answered with the file, the key, what is wrong and the fix; the order default < file < environment holds.
Method: small TOML files with one mistake each.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.__main__ import app
from edge.settings import SettingsError, load

GOOD = """
[van]
id = "van-1"
[[sources]]
kind = "synthetic"
"""

REPLAY = """
[van]
id = "van-1"
[[sources]]
kind = "replay"
{extra}
[[sources.recordings]]
path = "a.log"
"""

GNSS = """
[van]
id = "van-1"
[[sources]]
kind = "gnss"
{}
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_file_over_default_and_environment_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, GOOD + "[mqtt]\nport = 2000\nkeepalive_s = 40\n")
    assert load(path).mqtt.port == 2000
    monkeypatch.setenv("VANTEL_EDGE__MQTT__PORT", "3000")
    settings = load(path)
    assert (settings.mqtt.port, settings.mqtt.keepalive_s, settings.mqtt.host) == (3000, 40, "127.0.0.1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD + "[spool]\nbyte_max = 1\n", ["spool.byte_max", "unknown key", "did you mean bytes_max"]),
        ('[[sources]]\nkind = "synthetic"\n', ["van", "missing"]),
        (GOOD.replace("van-1", "van 1"), ["van.id", "letters, digits or dashes", "'van 1'"]),
        (GOOD + "[mqtt]\nport = 70000\n", ["mqtt.port", "65535"]),
        (GOOD.replace("synthetic", "lidar"), ["sources.0", "'lidar'"]),
        (GOOD + "[batch]\nwindow_s = 10\nwindow_live_s = 3\n", ["batch", "whole multiple"]),
        (REPLAY.format(extra="loop = true"), ["sources.0", 'time = "shifted"']),
        (REPLAY.format(extra='time = "original"') + '[[sources]]\nkind = "probe"\n', ["recording's clock"]),
        (GNSS.format('address = "gpsd"'), ["sources.0", "'gpsd'", "neither host:port", "127.0.0.1:2947"]),
        (
            GNSS.format('address = "/dev/ttyACM0"'),
            ["sources.0", "/dev/ttyACM0 is a device", 'protocol = "receiver"'],
        ),
        (GNSS.format('protocol = "ubx"'), ["sources.0", "protocol", "'gpsd' or 'receiver'"]),
        (GNSS.format('address = "/etc/hostname"\nprotocol = "receiver"'), ["is a file", 'format = "gnss"']),
        (GNSS.replace("gnss", "imu").format(""), ["sources.0", "device", "missing"]),
        (
            GNSS.replace("gnss", "imu").format('device = "a"\nmounting_deg = [0, 90]'),
            ["mounting_deg", "missing"],
        ),
        (
            GNSS.replace("gnss", "system").format('root = "/nowhere"'),
            ["'/nowhere' is no folder", "leave it out"],
        ),
        (GNSS.format("baud_rate = 9600"), ["baud_rate", "unknown key", "did you mean baud?"]),
        ("[van\n", ["not TOML", "line 1"]),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, text: str, expected: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load(path)
    for part in [str(path), *expected]:
        assert part in str(caught.value)


def test_five_mistakes_are_five_lines(tmp_path: Path) -> None:
    """Each with file, key and what to do, in sections of sources too."""
    text = (
        GOOD.replace("van-1", "van 1") + '[batch]\nfidelity = "fulll"\ncolour = 1\n[[sources]]\nkind = "lidar"\n[[sources]]\nrate_hz = 1\n'
        '[[sources]]\nkind = "replay"\n[[sources.recordings]]\npath = "x.asc"\ndbc = "x.dbc"\n'
    )  # fmt: skip
    path = write(tmp_path, text)
    done = CliRunner().invoke(app, ["check", "--config", str(path)])
    assert done.exit_code == 78
    lines = sorted(done.stderr.splitlines())
    for line, start, end in zip(lines, [
        "batch.colour: unknown key; remove it", "batch.fidelity: Input should be 'rollup' or 'full'",
        "sources.1: unknown kind 'lidar'; known are 'can'", "sources.2: kind is missing",
        "sources.3.replay.recordings.0.dbc: Input should be a valid list", "van.id: van id 'van 1'",
    ], ["keys)", "(got 'fulll')", "'plugin'", "add it", "valid dictionary (got 'x.dbc')", "(got 'van 1')"], strict=True):  # fmt: skip
        assert line.startswith(f"{path}: {start}")
        assert line.endswith(end)


def test_a_missing_file_is_named_with_the_option_that_gives_another(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no\.toml.*--config"):
        load(tmp_path / "no.toml")


def test_the_command_tells_where_each_value_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, GOOD + "[mqtt]\nport = 2000\n[spool]\n")
    monkeypatch.setenv("VANTEL_EDGE__MQTT__KEEPALIVE_S", "40")
    printed = CliRunner().invoke(app, ["settings", "--config", str(path)]).output
    assert f"mqtt.port = 2000  # {path}" in printed
    assert "mqtt.keepalive_s = 40  # environment VANTEL_EDGE__MQTT__KEEPALIVE_S" in printed
    assert 'mqtt.host = "127.0.0.1"  # default' in printed
    assert "spool.group_s_max = 1.0  # default" in printed
