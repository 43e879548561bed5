"""How fast a van that was offline for days gets rid of its backlog, while live P0 keeps its time.

Goal: 72 h at the reference rate (1,390 values a second, one P1 envelope each 10 s) drain at 10 times real time or more, and
P0 born meanwhile reaches the cloud within 2 s (p99). Method: a spool on the disk of --dir, filled before; the real
uplink, the real Mosquitto, a bridge that acks as the real one does (64 envelopes or 5 s, P0 within 200 ms); one P0 each
--p0-every-s and one live P1 each 10 s. Time runs from the connection to the durable ack of the last old envelope.
With --rate-bit-s the link is the rig's emulated one (needs root), else loopback. Exit status 1 when the goal is missed.

    python tests/bench/drain.py --json drain.json
    python tests/bench/drain.py --hours 2 --rate-bit-s 1e6
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

sys.path.insert(0, str(Path(__file__).parents[2]))

from edge.settings import MqttSection, SpoolSection, UplinkSection
from edge.spool import Spool
from edge.uplink.thread import Uplink
from tests.edge.uplink.mqtt_rig import Broker
from vantel import topics
from vantel.acks import Ack
from vantel.envelope import ClockStamp, open_message
from vantel.identity import DeliveryClass, Epoch, PayloadKind
from vantel.intervals import IntervalSet
from vantel_rig.link.impairment import LinkProfile
from vantel_rig.link.namespaces import CLOUD_ADDRESS, BadLink, missing

P0, P1, _ = DeliveryClass
VAN = "van-1"
CLOCK = ClockStamp(bytes(16), 0, 1)
BATCH_S = 10.0
BATCH_BYTES = 27_940
"""Ten times one second of the reference van as one message (docs/decisions/0002-codec.md); real batches are smaller."""
TIMES_MIN, P0_P99_S_MAX = 10.0, 2.0


class Cloud:
    """Acks what it gets: cumulative, P0 within 0.2 s, else each 64 envelopes or 5 s. came_s: P0 by payload."""

    def __init__(self, port: int) -> None:
        self.came_s: dict[bytes, float] = {}
        self.envelopes = 0
        self._durable: dict[tuple[Epoch, DeliveryClass], IntervalSet] = {}
        self._since_ack = 0
        self._due_s = float("inf")
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bridge", protocol=paho.MQTTv5)
        self._client.max_inflight_messages_set(1000)
        subscribed = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe("v1/+/+/up/+", qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert subscribed.wait(10.0)

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        if message.topic.endswith("/death"):
            return
        now_s = time.monotonic()
        envelope, _ = open_message(message.payload)
        self.envelopes += 1
        self._durable.setdefault((envelope.epoch, envelope.delivery_class), IntervalSet()).add(envelope.seq)
        self._since_ack += 1
        is_p0 = envelope.delivery_class is P0
        if is_p0:
            self.came_s.setdefault(envelope.payload, now_s)
        self._due_s = min(self._due_s, now_s + (0.2 if is_p0 else 5.0))
        if self._since_ack >= 64 or now_s >= self._due_s:
            self.ack()

    def ack(self) -> None:
        """Say what is durable."""
        self._since_ack, self._due_s = 0, float("inf")
        self._client.publish(topics.down(VAN, "ack"), Ack(VAN, dict(self._durable)).encode(), qos=1)

    def tick(self) -> None:
        """Send an ack that is due; called often."""
        if time.monotonic() >= self._due_s:
            self.ack()

    def stop(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


def fill(spool: Spool, envelopes: int, size: int) -> float:
    """Append the backlog; seconds that it took."""
    payload = np.random.default_rng(1).bytes(size)
    started_s = time.monotonic()
    for number in range(envelopes):
        spool.append(P1, PayloadKind.BATCH, payload, CLOCK)
        if number % 64 == 0:
            spool.maintain()
    return time.monotonic() - started_s


def drain(
    spool: Spool, uplink: Uplink, cloud: Cloud, old: int, p0_every_s: float, size: int
) -> tuple[float, dict[bytes, float]]:
    """Seconds until the old backlog was acked, and when each P0 was born. Live data is made meanwhile."""
    born_s: dict[bytes, float] = {}
    live = bytes(size)
    while not uplink.connected:
        time.sleep(0.01)
    began_s = said_s = time.monotonic()
    next_p0_s, next_live_s = began_s, began_s
    stream = (spool.epoch, P1)
    while True:
        now_s = time.monotonic()
        if now_s >= next_p0_s:
            payload = f"p0 {len(born_s)}".encode()
            born_s[payload] = now_s
            spool.append(P0, PayloadKind.EVENT, payload, CLOCK)
            uplink.wake()
            next_p0_s += p0_every_s
        if now_s >= next_live_s:
            spool.append(P1, PayloadKind.BATCH, live, CLOCK)
            uplink.wake()
            next_live_s += BATCH_S
        spool.maintain()
        cloud.tick()
        account = next(a for a in spool.accounts() if (a.epoch, a.delivery_class) == stream)
        acked = account.acked.intersection(IntervalSet([(0, old - 1)])).count()
        if acked == old:
            return now_s - began_s, born_s
        if now_s - said_s > 10.0:
            said_s = now_s
            sys.stderr.write(f"drain: {acked} of {old}\n")
        time.sleep(0.02)


def run(
    hours: float, size: int, p0_every_s: float, rate_bit_s: float | None, folder: Path
) -> dict[str, float]:
    """One run; keys carry their units."""
    envelopes = round(hours * 3600 / BATCH_S)
    with contextlib.ExitStack() as stack:
        link = stack.enter_context(BadLink(LinkProfile(rate_bit_s, 0.05, 0.0), 1)) if rate_bit_s else None
        van = link.van if link else contextlib.nullcontext
        there = link.cloud if link else contextlib.nullcontext
        broker = Broker(folder / "broker")
        with there():
            broker.start(replace=("127.0.0.1", "0.0.0.0") if link else ("", ""))  # noqa: S104 - a namespace of our own
            cloud = Cloud(broker.port)
        host = CLOUD_ADDRESS if link else "127.0.0.1"
        spool = Spool.open(
            folder / "spool", VAN, SpoolSection(bytes_max=16 << 30, files_max=8192, keep_free_bytes=0)
        )
        fill_s = fill(spool, envelopes, size)
        mqtt = MqttSection(host=host, port=broker.port, plaintext="anywhere")
        settings = UplinkSection(
            live_age_s_max=min(30.0, max(0.5, fill_s / 100))
        )  # the filled ones count as old
        uplink = Uplink(VAN, spool.epoch, mqtt, settings, spool, lambda _: None, lambda _: None)
        stop = threading.Event()
        thread = threading.Thread(target=uplink.run, args=(stop,))
        with van():
            thread.start()
        processor_s = time.process_time()
        drain_s, born_s = drain(spool, uplink, cloud, envelopes, p0_every_s, size)
        processor_s = time.process_time() - processor_s
        until_s = time.monotonic() + 10.0
        while len(cloud.came_s) < len(born_s) and time.monotonic() < until_s:
            time.sleep(0.05)
        stop.set()
        thread.join(10.0)
        counters = uplink.counters()
        cloud.stop()
        broker.stop()
        spool.close()
    delays_s = [cloud.came_s.get(payload, float("inf")) - at_s for payload, at_s in born_s.items()]
    return {
        "hours_offline": hours,
        "envelopes": envelopes,
        "backlog_mib": envelopes * size / 2**20,
        "fill_s": fill_s,
        "drain_s": drain_s,
        "times_real_time": hours * 3600 / drain_s,
        "drain_mib_per_s": envelopes * size / 2**20 / drain_s,
        "processor_share": processor_s / drain_s,
        "p0": len(delays_s),
        "p0_missing": sum(delay == float("inf") for delay in delays_s),
        "p0_p50_s": float(np.percentile(delays_s, 50)),
        "p0_p99_s": float(np.percentile(delays_s, 99)),
        "resends": counters["resends"],
        "reconnects": counters["reconnects"],
    }


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=72.0, help="time offline (72)")
    parser.add_argument("--envelope-bytes", type=int, default=BATCH_BYTES)
    parser.add_argument("--p0-every-s", type=float, default=0.5)
    parser.add_argument(
        "--rate-bit-s", type=float, help="over the rig's emulated link at this rate, 0.1 s there and back"
    )
    parser.add_argument(
        "--dir", type=Path, help="where the spool lies (a folder of the system's temporary files)"
    )
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args()
    if args.rate_bit_s and (why := missing()):
        sys.stderr.write(f"drain: {why}\n")
        return 2
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        result = run(args.hours, args.envelope_bytes, args.p0_every_s, args.rate_bit_s, Path(folder))
    for key, value in result.items():
        sys.stdout.write(f"{key:18} {value:12.2f}\n")
    if args.json:
        args.json.write_text(json.dumps({**result, "processors": os.cpu_count()}, indent=1) + "\n")
    good = (
        result["times_real_time"] >= TIMES_MIN
        and result["p0_p99_s"] <= P0_P99_S_MAX
        and not result["p0_missing"]
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
