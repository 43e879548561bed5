"""Goal: neither a Kafka that is away nor a packet that is far too large makes the bridge grow; it goes on afterwards.

Method: the bridge as a process on real servers; its resident memory as the kernel counts it. Bounds are far above what is
needed and far below what an unbounded queue would take.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from vantel import topics
from vantel.identity import DeliveryClass
from vantel_rig.cloud_side import CloudSide
from vantel_rig.stack import Stack

pytestmark = pytest.mark.servers

MB = 1024 * 1024
RECEIVE_MAXIMUM = 100
"""Of the bridge of these tests; messages of 200 KiB: 20 MiB may be without PUBACK."""


def resident_bytes(side: CloudSide) -> int:
    text = Path(f"/proc/{side.process('bridge').pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


def test_memory_is_bounded_while_kafka_is_away_and_all_arrives_afterwards(
    new_van: Callable[[str], Any], stack: Stack, side: CloudSide, kafka_back: Any
) -> None:
    """120 MiB for a bridge that may hold 20; no message counts as acked meanwhile."""
    van = new_van("bounded-1")
    van.send(van.message(0))
    van.wait_acked(DeliveryClass.P1, 1)
    before = resident_bytes(side)
    count, grown = 600, 0
    stack.pause("kafka")
    try:
        for seq in range(1, count):
            van.send(van.message(seq, payload=bytes(200 * 1024)))
            if seq % 50 == 0:
                grown = max(grown, resident_bytes(side) - before)
        for _ in range(20):
            time.sleep(0.1)
            grown = max(grown, resident_bytes(side) - before)
        assert van.acks.empty()
    finally:
        stack.resume("kafka")
    assert grown < 3 * RECEIVE_MAXIMUM * 200 * 1024, f"{grown / MB:.0f} MiB"
    van.wait_acked(DeliveryClass.P1, count, 240)
    assert len(kafka_back.messages("vantel.p1", "bounded-1")) >= count


def test_a_packet_of_100_mb_reaches_nobody(
    new_van: Callable[[str], Any], stack: Stack, side: CloudSide
) -> None:
    """Broker or bridge refuses it by its length; the bridge does not take it into memory, and goes on."""
    before = resident_bytes(side)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="giant-1", protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", stack.mqtt_port)
    client.loop_start()
    info = client.publish(topics.up("giant-1", DeliveryClass.P1), bytes(100 * MB), qos=1)
    grown, until_s = 0, time.monotonic() + 60
    while time.monotonic() < until_s and not info.is_published() and client.is_connected():
        grown = max(grown, resident_bytes(side) - before)
        time.sleep(0.05)
    client.loop_stop()
    client.disconnect()
    time.sleep(1.0)
    grown = max(grown, resident_bytes(side) - before)
    assert grown < 50 * MB, f"{grown / MB:.0f} MiB"
    van = new_van("giant-2")
    van.send(van.message(0))
    van.wait_acked(DeliveryClass.P1, 1)


def test_bytes_that_are_no_mqtt_harm_nobody(
    new_van: Callable[[str], Any], stack: Stack, side: CloudSide
) -> None:
    for garbage in (b"\xff" * 4096, b"\x30\xff\xff\xff\x7f", bytes(range(256)) * 16):
        with socket.create_connection(("127.0.0.1", stack.mqtt_port), timeout=60) as raw:
            raw.sendall(garbage)
    van = new_van("garbage-raw")
    van.send(van.message(0))
    van.wait_acked(DeliveryClass.P1, 1)
    assert side.process("bridge").running
