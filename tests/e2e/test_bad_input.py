"""Bad input at every rim.

Goal: a clear message naming the thing and the fix; the process goes on where it can; garbage is in the dead letters.
Method: the real programs and servers, one mistake each, their words and exit codes read as a user would.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from cloud.query import InfluxQuery
from vantel import topics
from vantel.identity import DeliveryClass
from vantel_rig.cloud_side import CloudSide
from vantel_rig.pytest_plugin import VanFactory
from vantel_rig.stack import Stack
from vantel_rig.van import Van

DATA = Path(__file__).parents[1] / "data"
RAV4 = DATA / "can" / "rav4_2016" / "rav4_can.log.gz"

SETTINGS = """
[van]
id = "bad-1"
state_dir = "{folder}/state"
[[sources]]
kind = "replay"
[[sources.recordings]]
path = "{path}"
dbc = ["{dbc}"]
"""


def check(tmp_path: Path, text: str, command: str = "check") -> subprocess.CompletedProcess[str]:
    config = tmp_path / "edge.toml"
    config.write_text(text, encoding="utf-8")
    argv = [sys.executable, "-m", "edge", command, "--config", str(config)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=240, check=False)


def replay(tmp_path: Path, path: Path, dbc: Path) -> str:
    return SETTINGS.format(folder=tmp_path, path=path, dbc=dbc)


def fill(path: Path) -> None:
    """Add to the file until the disk is full."""
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_missing_key_names_key_and_file(tmp_path: Path, command: str) -> None:
    done = check(tmp_path, '[[sources]]\nkind = "synthetic"\n', command)
    assert done.returncode == 78
    assert "edge.toml: van: missing" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.once
@pytest.mark.parametrize("command", ["check", "run"])
def test_an_unreadable_recording_is_named(tmp_path: Path, command: str) -> None:
    dbc = DATA / "can" / "rav4_2016" / "toyota_adas.dbc"
    done = check(tmp_path, replay(tmp_path, tmp_path / "no.log", dbc), command)
    assert done.returncode in {65, 78}
    assert "no.log" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.once
def test_a_dbc_that_does_not_match_is_named_with_the_recording(tmp_path: Path) -> None:
    done = check(tmp_path, replay(tmp_path, RAV4, DATA / "can" / "ev6_uds_2023" / "gnss.dbc"))
    assert done.returncode == 65
    assert "rav4_can.log.gz" in done.stderr
    assert "gnss.dbc" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.once
def test_a_file_that_is_no_dbc_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.dbc"
    wrong.write_text("this is no DBC", encoding="utf-8")
    done = check(tmp_path, replay(tmp_path, RAV4, wrong))
    assert done.returncode == 65
    assert "wrong.dbc" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.servers
def test_without_a_broker_the_agent_collects_and_says_what_is_wrong(tmp_path: Path) -> None:
    van = Van(
        "bad-2", tmp_path / "van", 9, [{"kind": "probe"}], uplink={"backoff_s_min": 0.1, "backoff_s_max": 0.5}
    )
    van.start()
    try:
        give_up_s = time.monotonic() + 240
        while not (status := van.wait_ready())["samples_produced"] or "127.0.0.1:9" not in van.tail():
            assert time.monotonic() < give_up_s, van.tail()
            time.sleep(0.2)
        assert status["connected"] is False
    finally:
        assert van.stop() == 0


@pytest.mark.servers
def test_garbage_is_in_the_dead_letters_and_good_vans_go_on(
    vantel_stack: Stack, vantel_cloud: CloudSide, vantel_van: VanFactory
) -> None:
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", vantel_stack.mqtt_port)
    client.loop_start()
    garbage = [b"", b"\x00" * 64, b"not protobuf at all", bytes(range(256)) * 40]
    for payload in garbage:
        client.publish(topics.up("bad-3", DeliveryClass.P1), payload, qos=1).wait_for_publish(60)
    client.publish("v1/99/bad-3/up/p1", b"wrong shard", qos=1).wait_for_publish(60)
    client.loop_stop()
    client.disconnect()
    van = vantel_van("bad-4", [{"kind": "probe"}])
    time.sleep(2.0)
    assert van.drain(120), van.tail()
    letters = [letter for letter in vantel_cloud.dead_letters() if letter.van == "bad-3"]
    assert sorted(letter.message for letter in letters) == sorted(garbage)
    assert {letter.reason for letter in letters} <= {"truncated", "corrupt", "malformed"}


@pytest.mark.servers
def test_a_full_disk_does_not_stop_collection(
    vantel_stack: Stack, vantel_cloud: CloudSide, tmp_path: Path
) -> None:
    disk = tmp_path / "van" / "state"
    disk.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.strip()}")
    van = Van(
        "bad-5", tmp_path / "van", vantel_stack.mqtt_port, [{"kind": "synthetic", "rate_hz": 100.0}],
        batch={"window_s": 1.0}, spool={"segment_bytes_max": 65_536, "files_max": 40_000, "keep_free_bytes": 0, "keep_free_files": 0},
    )  # fmt: skip
    try:
        van.start()
        van.wait_ready()
        query = InfluxQuery(vantel_cloud.settings.influx)
        deadline = time.monotonic() + 240
        while "spool degraded" not in van.tail(200):
            assert time.monotonic() < deadline, van.tail()
            fill(disk / "filler")  # again and again: the spool frees segments for its own use
            time.sleep(0.2)
        before = query.count_points("bad-5")
        while query.count_points("bad-5") <= before + 50:
            assert time.monotonic() < deadline, (
                "nothing new reached the database while the disk was full\n" + van.tail()
            )
            fill(disk / "filler")
            time.sleep(0.2)
        (disk / "filler").unlink()
        while "spool works again" not in van.tail(200):
            assert time.monotonic() < deadline, van.tail()
            time.sleep(0.2)
        assert van.stop() == 0
    finally:
        if van.alive:
            van.stop()
        subprocess.run(["umount", str(disk)], check=True)
