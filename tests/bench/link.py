"""How the uplink gets through a bad link, beside a plain TCP copy on the same link and seed. Needs root.

Goal: at 64 kbit/s, 2 s there and back and 30 % loss nothing is lost and P0 goes first; goodput stands beside TCP's.
Method: the rig's bad link in two network namespaces; the real uplink over an outbox in memory, the real Mosquitto, and
a small bridge that sends durable acks. A backlog and, every ten seconds, one P0; what was acked when the seconds are
over is the goodput. Then the link heals (--rest-s at most), and every envelope must have arrived. Exit status 1 if not.

    python tests/bench/link.py --seconds 120 --loss 0.3 --json link.json
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from edge.settings import MqttSection, UplinkSection
from tests.edge.uplink.mqtt_rig import Bridge, Broker, Rig
from vantel.identity import DeliveryClass
from vantel_rig.link.impairment import Impairment, LinkProfile
from vantel_rig.link.namespaces import CLOUD_ADDRESS, BadLink, missing

P0, P1, _ = DeliveryClass
P0_EVERY_S = 10.0


def uplink_run(
    profile: LinkProfile, seed: int, seconds: float, rest_s: float, envelope_bytes: int
) -> dict[str, float]:
    """The uplink's goodput in B/s of durably acked payload, delays of P0 in s, and what is missing at the end."""
    with tempfile.TemporaryDirectory() as folder, BadLink(profile, seed) as link:
        broker = Broker(Path(folder))
        with link.cloud():
            broker.start(replace=("127.0.0.1", "0.0.0.0"))  # noqa: S104  (inside the link's own namespace)
            cloud = Bridge(broker.port)
        mqtt = MqttSection(host=CLOUD_ADDRESS, port=broker.port, plaintext="anywhere")
        rig = Rig(mqtt, UplinkSection(inflight_max=8))
        rig.add(P1, int(seconds * profile.rate_bit_s / 8 / envelope_bytes) + 1, envelope_bytes, 0.0)
        with link.van():
            rig.start()
        began_s, born_s, came_s = time.monotonic(), {}, {}
        while (now_s := time.monotonic() - began_s) < seconds:
            if now_s >= len(born_s) * P0_EVERY_S:
                born_s[f"p0/{len(born_s)}"] = now_s
                rig.add(P0)
            _note(cloud, came_s, now_s)
            time.sleep(0.02)
        total = sum(n for n, _ in rig.outbox.backlog().values()) + len(rig.outbox.settled)
        goodput = sum(len(rig.outbox.messages[key]) for key in list(rig.outbox.settled)) / seconds
        connects = rig["connects"]
        for way in (link.up, link.down):
            _mend(way, profile)
        while not rig.outbox.empty and time.monotonic() - began_s < seconds + rest_s:
            _note(cloud, came_s, time.monotonic() - began_s)
            time.sleep(0.02)
        _note(cloud, came_s, time.monotonic() - began_s)
        missing_n = total - len(set(cloud.names()))
        resends = rig["resends"]
        rig.stop()
        cloud.stop()
        broker.stop()
    delays = sorted(came_s.get(name, float("inf")) - at for name, at in born_s.items())
    return {
        "envelopes": total,
        "missing": missing_n,
        "goodput_bytes_s": goodput,
        "connects": connects,
        "resends": resends,
        "p0_p50_s": delays[len(delays) // 2],
        "p0_worst_s": delays[-1],
    }


def _note(cloud: Bridge, came_s: dict[str, float], now_s: float) -> None:
    for name in cloud.names():
        came_s.setdefault(name, now_s)


def _mend(way: Impairment, profile: LinkProfile) -> None:
    """The link gets well: fast, near and without loss."""
    way.profile = replace(profile, rate_bit_s=10e6, delay_s=0.01, loss=0.0)


def copy_run(profile: LinkProfile, seed: int, seconds: float) -> float:
    """Bytes a second that one plain TCP connection carries in the same time, the time to connect included."""
    got, stop = [0], threading.Event()

    def send() -> None:
        with link.van():
            while not stop.is_set():
                try:
                    with socket.create_connection((CLOUD_ADDRESS, 9), timeout=seconds) as pipe:
                        while not stop.is_set():
                            pipe.sendall(bytes(4096))
                except OSError:
                    time.sleep(0.1)

    with BadLink(profile, seed) as link:
        with link.cloud():
            server = socket.create_server((CLOUD_ADDRESS, 9))
        sender = threading.Thread(target=send, daemon=True)
        until_s = time.monotonic() + seconds
        sender.start()
        server.settimeout(seconds)
        try:
            pipe, _ = server.accept()
            while (left_s := until_s - time.monotonic()) > 0:
                pipe.settimeout(left_s)
                got[0] += len(pipe.recv(65_536))
            pipe.close()
        except TimeoutError:
            pass
        finally:
            stop.set()
            server.close()
    return got[0] / seconds


def main() -> int:
    """Run both and print them side by side."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--rest-s", type=float, default=180.0)
    parser.add_argument("--rate-bit-s", type=float, default=64_000.0)
    parser.add_argument("--rtt-s", type=float, default=2.0)
    parser.add_argument("--loss", type=float, default=0.3, help="share of the packets, each way")
    parser.add_argument("--envelope-bytes", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if why := missing():
        sys.stderr.write(f"link: {why}\n")
        return 2
    profile = LinkProfile(args.rate_bit_s, args.rtt_s / 2, args.loss)
    result = uplink_run(profile, args.seed, args.seconds, args.rest_s, args.envelope_bytes)
    result["tcp_copy_bytes_s"] = copy_run(profile, args.seed, args.seconds)
    for key, value in result.items():
        sys.stdout.write(f"{key:20} {value:12.1f}\n")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if result["missing"] else 0


if __name__ == "__main__":
    sys.exit(main())
