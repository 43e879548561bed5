"""What the agent costs: processor time of one core, anonymous memory and delay of the real agent at full bus load.

    python tests/bench/agent.py [--rates 1000,4000,8000,16000] [--seconds 60] [--realtime] [--json FILE]

The agent is a process of its own: CAN frames through the real source path (datagrams of struct can_frame on loopback
UDP stand in for SocketCAN where the kernel has none; the reading code is the same), 6 IMU axes at 200 Hz and GNSS at
10 Hz on a second bus, the board once a second; rings, detector, batcher, codec, spool, uplink to a real Mosquitto, and
a bridge that opens and acks every envelope. Frames are those of recorded drives, sent on a fixed schedule. Beside it an
agent that only imports. Stages are processor time: of threads by the kernel's account, within the source threads by a clock
around the ring, within the pipeline thread around the detector, within the spool thread around the codec. Wake-ups are voluntary switches. The delay is from the kernel's receive stamp to the end of the ring's push.
--realtime runs agent and sender under SCHED_FIFO (needs root), so that no other work of the machine can keep it from a core:
what is left of the delay is the agent's own, the wait for the tick, the queue, the GIL and the steps themselves.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
CAN = ROOT / "tests" / "data" / "can"
WARM_S = 6.0
VAN = "bench-1"
TICK_S = 0.001
MEMORY_S = 15.0
JUDGED_SAMPLED, PUSHES_SAMPLED = 7, 31  # of so many calls one is timed: more would cost what they measure
DELAY_PLACE_NS, DELAY_PLACES = 100_000, 2000


def free_port(kind: int) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def datagrams(log: str, channel: str, only: set[int] | None = None) -> list[bytes]:
    from edge.sources.can_log import read_frames

    out = []
    for chunk in read_frames(CAN / log, Counter(), False):
        for at in (
            np.flatnonzero(chunk.channel == chunk.names.index(channel)) if channel in chunk.names else ()
        ):
            key, size = int(chunk.ids[at]), int(chunk.lengths[at])
            if only is None or key in only:
                out.append(struct.pack("<IB3x8s", key, size, chunk.payload[at, :8].tobytes()))
    return out


class Sender:
    """Frames to a port, many a call by sendmmsg(2): one by one, Python ends at some 20,000 a second."""

    def __init__(self, port: int, frames: list[bytes], rate_hz: float) -> None:
        self.rate_hz, self.done = rate_hz, 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._count = len(frames)
        self._data = np.frombuffer(b"".join(frames), np.uint8)
        places = np.arange(self._count, dtype=np.uint64)
        self._parts = np.full((self._count, 2), len(frames[0]), np.uint64)  # struct iovec
        self._parts[:, 0] = self._data.ctypes.data + places * len(frames[0])
        self._heads = np.zeros((self._count, 8), np.uint64)  # struct mmsghdr: word 2 is the iovec, 3 how many
        self._heads[:, 2] = self._parts.ctypes.data + places * 16
        self._heads[:, 3] = 1
        self._send = ctypes.CDLL(None, use_errno=True).sendmmsg

    def send(self, now_s: float) -> None:
        """What is due by now_s."""
        due = int(now_s * self.rate_hz)
        while self.done < due:
            at = self.done % self._count
            head = ctypes.c_void_p(self._heads.ctypes.data + at * 64)
            sent = self._send(self._socket.fileno(), head, min(due - self.done, self._count - at, 1024), 0)
            if sent < 0:
                raise OSError(ctypes.get_errno(), "sendmmsg")
            self.done += sent


def send(plan: list[tuple[int, list[bytes], float]], realtime: bool, stop: Any, sent: Any) -> None:
    """Each (port, frames, rate a second) on an absolute schedule, until stop."""
    if realtime:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    senders = [Sender(*one) for one in plan]
    began = time.monotonic()
    while not stop.is_set():
        now = time.monotonic() - began
        for sender in senders:
            sender.send(now)
        with sent.get_lock():
            sent.value = sum(sender.done for sender in senders)
        time.sleep(TICK_S)


def bridge(port: int, ready: Any, samples: Any) -> None:
    """Counts the samples of every batch and acks each envelope durably."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    from vantel import topics
    from vantel.acks import Ack
    from vantel.envelope import open_message
    from vantel.identity import PayloadKind
    from vantel.intervals import IntervalSet
    from vantel.payloads import Batch

    def on_message(client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if message.topic.endswith("/death"):
            return
        envelope, _ = open_message(bytes(message.payload))
        if envelope.kind is PayloadKind.BATCH:
            with samples.get_lock():
                samples.value += Batch.decode(envelope.payload).sample_count
        seqs = IntervalSet([(envelope.seq, envelope.seq)])
        ack = Ack(VAN, {(envelope.epoch, envelope.delivery_class): seqs})
        client.publish(topics.down(VAN, "ack"), ack.encode(), qos=1)

    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_connect = lambda c, *_: c.subscribe("v1/+/+/up/+", qos=1)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.loop_forever()


def clocked(spent: Counter[str], stage: str, call: Callable[..., Any], every: int = 1) -> Callable[..., Any]:
    """One call in `every` is timed and stands for all: a clock around each would cost as much as a stage."""
    calls = 0

    def timed(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls % every:
            return call(*arguments, **named)
        began = time.thread_time_ns()
        try:
            return call(*arguments, **named)
        finally:
            spent[stage] += (time.thread_time_ns() - began) * every

    return timed


def agent_process(config: Path, report: Path) -> None:
    """The agent with a clock around its stages; writes what it measured when it leaves. SIGUSR2 begins the measurement."""
    from edge import log
    from edge.agent import Agent
    from edge.settings import load
    from edge.warm import forget_compiling, warm_kernels
    from vantel import codec

    list(warm_kernels())
    settings = load(config)
    log.configure(settings.log)
    agent = Agent(settings)
    forget_compiling()
    spent: Counter[str] = Counter()
    delays = np.zeros(DELAY_PLACES, np.int64)  # a histogram: what is measured must not grow
    marks: list[tuple[float, dict[str, float], Counter[str], float, float, int]] = []
    pipeline = agent._pipeline
    pipeline._detector.step = clocked(spent, "detector", pipeline._detector.step, JUDGED_SAMPLED)
    codec.encode = clocked(spent, "codec", codec.encode)
    push = clocked(spent, "ring", pipeline._rings.push, PUSHES_SAMPLED)
    pushes = 0

    def pushed(block: Any) -> None:
        nonlocal pushes
        push(block)
        pushes += 1
        if len(block) and not pushes % PUSHES_SAMPLED:
            late = (time.monotonic_ns() - block.t_mono_ns) // DELAY_PLACE_NS
            delays[:] += np.bincount(np.clip(late, 0, DELAY_PLACES - 1), minlength=DELAY_PLACES)

    pipeline._rings.push = pushed

    def mark() -> None:
        names = {thread.native_id: thread.name for thread in threading.enumerate()}
        threads: Counter[str] = Counter()
        switches = 0
        for task in Path("/proc/self/task").iterdir():
            fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
            threads[names.get(int(task.name), "other")] += (int(fields[11]) + int(fields[12])) / os.sysconf(
                "SC_CLK_TCK"
            )
            switches += int((task / "status").read_text().split("voluntary_ctxt_switches:")[1].split()[0])
        held = anonymous_mb("self")
        marks.append((time.monotonic(), threads, Counter(spent), time.process_time(), held, switches))

    stop, drain = threading.Event(), threading.Event()
    signal.signal(signal.SIGUSR2, lambda *_: begin())
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def begin(*_: object) -> None:
        mark()
        delays[:] = 0

    def measured(*_: object) -> None:
        mark()
        drain.set()

    signal.signal(signal.SIGUSR1, measured)
    agent.run(stop, drain)
    began, ended = marks[0], marks[-1]
    seconds = ended[0] - began[0]
    reached = np.cumsum(delays) / max(1, delays.sum())
    by_thread = {n: (s - began[1].get(n, 0.0)) / seconds for n, s in ended[1].items()}
    inner = {stage: (ns - began[2][stage]) / 1e9 / seconds for stage, ns in ended[2].items()}
    codec_s, ring_s = inner.pop("codec", 0.0), inner.pop("ring", 0.0)
    sources_s = sum(share for name, share in by_thread.items() if name.startswith("source-"))
    pipeline_s = by_thread.pop("pipeline", 0.0)
    stages = {
        "sources": sources_s - ring_s,
        "ring": ring_s,
        **inner,
        "pipeline, rest": pipeline_s - sum(inner.values()),
        "codec": codec_s,
        "spool": by_thread.get("spool", 0.0) - codec_s,
        "uplink": by_thread.get("uplink", 0.0) + sum(s for n, s in by_thread.items() if "paho" in n.lower()),
    }
    stages["rest"] = (ended[3] - began[3]) / seconds - sum(stages.values())
    report.write_text(json.dumps({
        "cpu": (ended[3] - began[3]) / seconds,
        "stages": stages,
        "wake_ups_hz": (ended[5] - began[5]) / seconds,
        "anonymous_mb_begin": began[4],
        "anonymous_mb_end": ended[4],
        "delay_ms_p50": float(np.searchsorted(reached, 0.50) + 1) * DELAY_PLACE_NS / 1e6,
        "delay_ms_p99": float(np.searchsorted(reached, 0.99) + 1) * DELAY_PLACE_NS / 1e6,
        "status": agent.status(),
    }))  # fmt: skip


def anonymous_mb(pid: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return 0.0


def settings(folder: Path, mqtt_port: int, ports: tuple[int, int]) -> Path:
    import tomli_w

    path = folder / "edge.toml"
    path.write_text(tomli_w.dumps({
        "van": {"id": VAN, "state_dir": str(folder / "state")},
        "mqtt": {"port": mqtt_port},
        "log": {"level": "warning"},
        "clock": {"p0_wait_s": 0, "wait_s": 0},  # a bench machine often has no time source
        "sources": [
            {"kind": "can", "name": "can0", "interface": "udp", "channel": f"127.0.0.1:{ports[0]}",
             "dbc": str(CAN / "rav4_2016/toyota_new_mc_pt_generated.dbc")},
            {"kind": "can", "name": "imu", "interface": "udp", "channel": f"127.0.0.1:{ports[1]}",
             "dbc": str(CAN / "obd_gnss_2024/canedge-internal-can9.dbc")},
            {"kind": "system"},
        ],
    }))  # fmt: skip
    return path


def one_rate(
    rate: float, seconds: float, folder: Path, mqtt_port: int, samples: Any, realtime: bool
) -> dict[str, Any]:
    ports = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    samples.value = 0
    config, report = settings(folder, mqtt_port, ports), folder / "report.json"
    process = subprocess.Popen([sys.executable, __file__, "--agent", str(config), str(report)], cwd=ROOT)
    if realtime:  # threads that it starts inherit it
        os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(1))
    status = folder / "state" / "status.json"
    while not status.exists():
        time.sleep(0.1)
        assert process.poll() is None, "the agent ended"
    imu = datagrams("obd_gnss_2024/obd_gnss_imu_10min.blf", "can9", {0x6F})
    gnss = datagrams("obd_gnss_2024/obd_gnss_imu_10min.blf", "can9", {0x65, 0x66, 0x67, 0x68, 0x6A, 0x6B})
    plan = [
        (ports[0], datagrams("rav4_2016/rav4_can.log.gz", "can0"), rate),
        (ports[1], imu, 200.0),
        (ports[1], gnss, 50.0),
    ]
    stop, sent = multiprocessing.Event(), multiprocessing.Value("q", 0)
    sending = multiprocessing.Process(target=send, args=(plan, realtime, stop, sent), daemon=True)
    sending.start()
    time.sleep(WARM_S)
    process.send_signal(signal.SIGUSR2)
    memory_mb = []
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, MEMORY_S))
        memory_mb.append(round(anonymous_mb(str(process.pid)), 1))
    stop.set()
    sending.join()
    time.sleep(0.5)
    process.send_signal(signal.SIGUSR1)
    process.wait(60)
    found = json.loads(report.read_text())
    counted = found.pop("status")
    sources = counted["sources"]
    found["rate_hz"] = rate
    found["anonymous_mb_series"] = memory_mb
    found["frames_sent"] = sent.value
    found["frames_read"] = sum(sources[name].get("frames", 0) for name in ("can0", "imu"))
    found["frames_dropped"] = sum(sources[name].get("frames_dropped", 0) for name in ("can0", "imu"))
    found["samples_emitted"] = sum(source.get("samples_emitted", 0) for source in sources.values())
    found["samples_produced"] = counted["samples_produced"]
    found["samples_shed"] = counted["samples_shed"]
    found["samples_acked"] = samples.value
    found["events"] = counted["events_produced"]
    return found


def only_imports() -> dict[str, float]:
    """An agent that has imported everything, and does nothing."""
    code = (
        "from edge.agent import Agent\nfrom edge.warm import forget_compiling, warm_kernels\nlist(warm_kernels())\n"
        "import edge.sources.can_bus, edge.sources.system, time, sys\nforget_compiling()\n"
        "print('ready', flush=True)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    held = anonymous_mb(str(process.pid))
    process.kill()
    process.wait()
    return {"anonymous_mb": held}


def main() -> None:
    if sys.argv[1:2] == ["--agent"]:
        agent_process(Path(sys.argv[2]), Path(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rates", default="1000,4000,8000,16000", help="CAN frames a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--realtime", action="store_true", help="the agent under SCHED_FIFO; needs root")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    from vantel_rig.servers.mosquitto import Mosquitto

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        server = Mosquitto(Path(folder) / "mosquitto")
        broker = server.configure()
        broker.start()
        try:
            time.sleep(1.0)
            ready, samples = multiprocessing.Event(), multiprocessing.Value("q", 0)
            multiprocessing.Process(target=bridge, args=(server.port, ready, samples), daemon=True).start()
            assert ready.wait(60)
            imports = only_imports()
            sys.stdout.write(f"an agent that only imports: {imports['anonymous_mb']:.0f} MB anonymous\n")
            for rate in options.rates.split(","):
                place = Path(folder) / rate
                place.mkdir()
                rows.append(
                    one_rate(float(rate), options.seconds, place, server.port, samples, options.realtime)
                )
                show(rows[-1])
        finally:
            broker.stop()
    if options.json:
        options.json.write_text(
            json.dumps({"imports": imports, "rates": rows}, indent=2) + "\n", encoding="utf-8"
        )


def show(row: dict[str, Any]) -> None:
    stages = ", ".join(f"{stage} {share:.1%}" for stage, share in row["stages"].items())
    lost = row["samples_emitted"] - row["samples_acked"]
    sys.stdout.write(
        f"{row['rate_hz']:8,.0f} frames/s: {row['cpu']:.1%} of a core ({stages}), {row['wake_ups_hz']:,.0f} wake-ups/s\n"
        f"         anonymous {row['anonymous_mb_begin']:.0f} -> {row['anonymous_mb_end']:.0f} MB, sample to ring p50 "
        f"{row['delay_ms_p50']:.1f} ms, p99 {row['delay_ms_p99']:.1f} ms\n"
        f"         anonymous each {MEMORY_S:g} s: {', '.join(map(str, row['anonymous_mb_series']))} MB\n"
        f"         frames sent {row['frames_sent']:,}, read {row['frames_read']:,}, dropped {row['frames_dropped']:,}; "
        f"samples emitted {row['samples_emitted']:,}, acked {row['samples_acked']:,}, lost {lost:,}, "
        f"shed {row['samples_shed']}, events {row['events']}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
