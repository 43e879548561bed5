"""Goal: the local stack is real, answers by its own protocols, survives restarts, and never outlives us.

Method: one stack for the module; ordinary clients (paho, aiokafka, influxdb-client) go through each server and back.
What ends with us is tested on small child processes and on a whole stack in a Python that gets SIGKILL.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from influxdb_client import InfluxDBClient, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from paho.mqtt.enums import CallbackAPIVersion

from vantel_rig.ports import HeldPort
from vantel_rig.process import Process, ProcessError
from vantel_rig.servers.mosquitto import PACKET_BYTES_MAX
from vantel_rig.stack import Stack

GONE_S_MAX = 60.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> set[int]:
    """All living processes of the sessions that `pid`'s direct children lead, and those children."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.add(int(entry.name))
    return found | {grandchild for child in found for grandchild in children(child)}


def wait_gone(pids: set[int]) -> set[int]:
    give_up_s = time.monotonic() + GONE_S_MAX
    while (left := {pid for pid in pids if alive(pid)}) and time.monotonic() < give_up_s:
        time.sleep(0.05)
    return left


def mqtt_round_trip(port: int, payload: bytes) -> bytes:
    got: queue.Queue[bytes] = queue.Queue()
    ready: queue.Queue[int] = queue.Queue()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_connect = lambda *_: client.subscribe("v1/0/van/up/p1", qos=1)
    client.on_subscribe = lambda *_: ready.put(1)
    client.on_message = lambda _client, _data, message: got.put(message.payload)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        ready.get(timeout=60)
        client.publish("v1/0/van/up/p1", payload, qos=1).wait_for_publish(60)
        return got.get(timeout=60)
    finally:
        client.disconnect()
        client.loop_stop()


async def kafka_round_trip(
    bootstrap: str, topic: str, values: list[bytes], create: bool = True
) -> list[bytes]:
    if create:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
        finally:
            await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True) as producer:
        for value in values:
            await producer.send_and_wait(topic, value)
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=f"g-{topic}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with consumer:
        return [(await asyncio.wait_for(consumer.getone(), 120)).value for _ in values]


def query(url: str, database: str, text: str) -> dict[str, object]:
    arguments = urllib.parse.urlencode({"db": database, "q": text, "epoch": "ns"})
    with urllib.request.urlopen(f"{url}/query?{arguments}", timeout=60) as answer:
        return json.load(answer)


def make_database(url: str, name: str) -> None:
    body = urllib.parse.urlencode({"q": f'CREATE DATABASE "{name}"'}).encode()
    urllib.request.urlopen(f"{url}/query", data=body, timeout=60).close()


def influx_round_trip(
    url: str, database: str, lines: str, precision: WritePrecision, gzip: bool = True
) -> list[list[object]]:
    make_database(url, database)
    with InfluxDBClient(url=url, token="none", org="none", enable_gzip=gzip) as client:
        client.write_api(write_options=SYNCHRONOUS).write(database, record=lines, write_precision=precision)
    result = query(url, database, "SELECT * FROM m")["results"][0]  # type: ignore[index]
    return result["series"][0]["values"]  # type: ignore[no-any-return]


@pytest.mark.servers
def test_mosquitto_carries_a_message_and_refuses_one_too_large(stack: Stack) -> None:
    assert mqtt_round_trip(stack.mqtt_port, b"\x00" * 200_000) == b"\x00" * 200_000
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    put_out: queue.Queue[str] = queue.Queue()
    client.on_connect = lambda *_: client.publish("a", b"\x00" * PACKET_BYTES_MAX, qos=1)
    client.on_disconnect = lambda _client, _data, _flags, reason, _properties: put_out.put(str(reason))
    client.connect("127.0.0.1", stack.mqtt_port)
    client.loop_start()
    try:
        assert put_out.get(timeout=60) == "Packet too large"
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.servers
def test_kafka_carries_records_and_makes_no_topic_unasked(stack: Stack) -> None:
    values = [b"one", b"two", b"three"]
    assert asyncio.run(kafka_round_trip(stack.kafka_bootstrap, "try", values)) == values

    async def ask_and_list() -> list[str]:
        async with AIOKafkaProducer(bootstrap_servers=stack.kafka_bootstrap) as producer:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(producer.partitions_for("unasked"), 1)
        admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka_bootstrap)
        await admin.start()
        try:
            return list(await admin.list_topics())
        finally:
            await admin.close()

    assert "try" in (listed := asyncio.run(ask_and_list()))
    assert "unasked" not in listed


@pytest.mark.servers
@pytest.mark.parametrize(
    ("precision", "factor_ns"),
    [
        (WritePrecision.NS, 1),
        (WritePrecision.US, 1_000),
        (WritePrecision.MS, 1_000_000),
        (WritePrecision.S, 10**9),
    ],
)
def test_influxdb_keeps_stamp_and_value_in_each_precision(
    stack: Stack, precision: WritePrecision, factor_ns: int
) -> None:
    rows = influx_round_trip(stack.influx_url, f"p_{precision}", "m,van=a f=1.25 1700000001", precision)
    assert rows == [[1_700_000_001 * factor_ns, 1.25, "a"]]


@pytest.mark.servers
def test_influxdb_refuses_a_bad_line_and_takes_large_bodies(stack: Stack) -> None:
    with pytest.raises(ApiException) as error:
        influx_round_trip(stack.influx_url, "bad", "m,van=a f= 1", WritePrecision.NS)
    assert error.value.status == 400
    lines = "\n".join(f'm,van=a f={i}.5,text="{"x" * 400}" {i}' for i in range(20_000))  # 8 MB
    assert len(influx_round_trip(stack.influx_url, "large", lines, WritePrecision.NS, gzip=False)) == 20_000
    assert urllib.request.urlopen(f"{stack.influx_direct_url}/ping", timeout=60).status == 204


@pytest.mark.servers
def test_each_server_comes_back_on_its_port_with_its_data(stack: Stack) -> None:
    asyncio.run(kafka_round_trip(stack.kafka_bootstrap, "kept", [b"before"]))
    influx_round_trip(stack.influx_url, "kept", "m f=1 1", WritePrecision.NS)
    ports = (stack.mqtt_port, stack.kafka_bootstrap, stack.influx_url)
    for name in stack.names:
        before = stack.pid(name)
        stack.restart(name, kill=name != "mosquitto")
        assert stack.pid(name) != before
        assert not alive(before)
    assert (stack.mqtt_port, stack.kafka_bootstrap, stack.influx_url) == ports
    assert mqtt_round_trip(stack.mqtt_port, b"again") == b"again"
    # The group has committed nothing, so it reads the record from before the restart first.
    got = asyncio.run(kafka_round_trip(stack.kafka_bootstrap, "kept", [b"after"], create=False))
    assert got == [b"before"]
    assert query(stack.influx_url, "kept", "SELECT f FROM m")["results"][0]["series"][0]["values"] == [
        [1, 1.0]
    ]  # type: ignore[index]


@pytest.mark.servers
def test_a_paused_server_holds_connections_and_goes_on_when_resumed(stack: Stack) -> None:
    stack.pause("mosquitto")
    try:
        with socket.create_connection(("127.0.0.1", stack.mqtt_port), timeout=1), pytest.raises(queue.Empty):
            mqtt_round_trip_timeout(stack.mqtt_port)
    finally:
        stack.resume("mosquitto")
    assert mqtt_round_trip(stack.mqtt_port, b"x") == b"x"


def mqtt_round_trip_timeout(port: int) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    connected: queue.Queue[int] = queue.Queue()
    client.on_connect = lambda *_: connected.put(1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        connected.get(timeout=0.5)
    finally:
        client.loop_stop()


@pytest.mark.servers
def test_stop_leaves_no_process_and_names_are_checked(tmp_path: Path) -> None:
    running = Stack(tmp_path)
    running.start()
    pids = {running.pid(name) for name in running.names}
    pids |= {grandchild for pid in pids for grandchild in children(pid)}
    assert len(pids) >= 5  # nginx has a worker
    with pytest.raises(ProcessError, match="the stack has kafka, influxdb, mosquitto, nginx"):
        running.kill("postgres")
    running.stop()
    assert wait_gone(pids) == set()
    running.stop()


@pytest.mark.servers
def test_sigkill_of_the_parent_ends_the_stack(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom vantel_rig.stack import Stack\n"
        "s = Stack(Path(sys.argv[1]))\ns.start()\nprint(*[s.pid(n) for n in s.names], flush=True)\ntime.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pids = {int(word) for word in parent.stdout.readline().split()}
    pids |= {grandchild for pid in pids for grandchild in children(pid)}
    assert len(pids) >= 5
    assert all(alive(pid) for pid in pids)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_gone(pids) == set()


@pytest.mark.servers
def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    running = Stack(tmp_path)
    (tmp_path / "influxdb").mkdir()
    (tmp_path / "influxdb" / "meta").write_text("a file where a folder should be")
    with pytest.raises(
        ProcessError, match=r"(?s)start influxdb: it ended with status \d+; its log:.*not a directory"
    ):
        running.start()
    assert all(not alive(running.pid(name)) for name in running.names)


def test_a_process_that_ignores_sigterm_ends_with_its_children(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 300 & echo $!; while :; do sleep 0.1; done"
    process = Process("stubborn", ["/bin/sh", "-c", script], log_path=tmp_path / "log")
    process.start()
    process.wait_ready(lambda: "\n" in process.log_since_start(), 60)
    pids = {process.pid, int(process.log_since_start())}
    assert process.stop(timeout_s=0.3) == -signal.SIGKILL
    assert wait_gone(pids) == set()


def test_what_a_process_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    process = Process("leaver", ["/bin/sh", "-c", "sleep 300 & echo $!"], log_path=tmp_path / "log")
    process.start()
    assert process.wait(60) == 0
    assert wait_gone({int(process.log_since_start())}) == set()


def test_sigkill_of_the_parent_ends_its_processes_even_paused_ones(tmp_path: Path) -> None:
    script = (
        "import sys, threading, time\nfrom pathlib import Path\nfrom vantel_rig.process import Process\n"
        "ps = [Process('a', ['/bin/sleep', '300']), Process('b', ['/bin/sh', '-c', 'sleep 300 & wait'])]\n"
        # Started in a thread that ends at once: the processes must outlive the thread, not the process.
        "t = threading.Thread(target=lambda: [p.start() for p in ps])\nt.start()\nt.join()\n"
        "at = Path('/proc', str(ps[0].pid), 'cmdline')\n"  # a process is paused when it runs its program
        "while not at.read_bytes().startswith(b'/bin/sleep'): time.sleep(0.01)\n"
        "ps[0].pause()\nprint(*[p.pid for p in ps if p.running], flush=True)\ntime.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = {int(word) for word in parent.stdout.readline().split()}
    assert len(pids) == 2
    give_up_s = time.monotonic() + 60
    while not (grandchildren := {grandchild for pid in pids for grandchild in children(pid)}):
        assert time.monotonic() < give_up_s, "the shell starts its own child"
        time.sleep(0.05)
    pids |= grandchildren
    assert len(pids) == 3
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert wait_gone(pids) == set()


def test_a_process_tells_why_it_did_not_start(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match=r"start x: /no/such is missing"):
        Process("x", ["/no/such"]).start()
    process = Process("x", ["/bin/sh", "-c", "echo the reason; exit 3"], log_path=tmp_path / "log")
    process.start()
    with pytest.raises(ProcessError, match=r"(?s)ended with status 3.*the reason"):
        process.wait_ready(lambda: False, 60)
    with pytest.raises(ProcessError, match="does not run"):
        process.pause()
    slow = Process("slow", ["/bin/sleep", "300"], log_path=tmp_path / "log2")
    with slow, pytest.raises(ProcessError, match=r"not ready after 0\.1 s"):
        slow.wait_ready(lambda: False, 0.1)


def test_the_environment_is_laid_over_ours_and_a_run_sees_its_own_log_only(tmp_path: Path) -> None:
    process = Process(
        "env", ["/bin/sh", "-c", "echo [$ONE$HOME]"], {"ONE": "1", "HOME": ""}, tmp_path / "log"
    )
    for _ in range(2):
        process.start()
        process.wait(60)
        assert process.log_since_start() == "[1]\n"
    assert (tmp_path / "log").read_text() == "[1]\n[1]\n"


def test_a_held_port_is_nobody_elses_and_lies_below_the_kernels_range() -> None:
    held = HeldPort()
    with pytest.raises(OSError), socket.socket() as other:
        other.bind(("127.0.0.1", held.port))
    assert held.port < int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    port = held.release()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
    assert os.getpid() not in children(os.getpid())
