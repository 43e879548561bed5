"""A process that sends ROS 2 diagnostics and odometry to the agent's socket: docs/ros2.md.

    python -m edge.ros2.bridge --diagnostics /diagnostics --odometry /odom

It is a client like any other (vantel.client), in a process of its own, so that neither ROS nor a flood of a topic can harm the
agent. rclpy comes with the ROS installation and is imported only when the process runs. Names are declared as they are met,
at most NAMES_MAX; a lost agent is tried again every RETRY_S, and readings of that time are dropped and counted.

At the end the counts are written to stderr. Exit codes: 0 after SIGINT or SIGTERM, 69 without rclpy or its messages.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.ros2.messages import Reading, diagnostic_readings, odometry_readings, part_of_name
from vantel.client import Client

NAMES_MAX = 300
GATHER_S = 1.0
"""New names are declared so long after the first of them: the statuses of a start come together."""
RETRY_S = 2.0
SEND_S_MAX = 1.0
STOP_S_MAX = 0.5
"""A stop is seen so late when no message comes."""
EXIT_NO_ROS = 69


class Bridge:
    """Readings to the socket. take() from any thread; counts say what was left out."""

    def __init__(self, path: str, client: str = "ros2") -> None:
        self._path = path
        self._client = client
        self._known: dict[str, Reading] = {}
        self._declared: frozenset[str] = frozenset()
        self._new_since_s: float | None = None
        self._link: Client | None = None
        self._next_try_s = 0.0
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()

    def take(self, readings: Iterable[Reading], now_s: float | None = None) -> None:
        """Send readings; what the agent does not take now is dropped. now_s: monotonic time, for tests."""
        now = time.monotonic() if now_s is None else now_s
        with self._lock:
            met = [reading for reading in readings if self._meet(reading, now)]
            self._connect(now)
            if self._link is None:
                self.counts["dropped_no_agent"] += len(met)
                return
            ready = [reading for reading in met if reading.name in self._declared]
            self.counts["dropped_undeclared"] += len(met) - len(ready)
            self._send(self._link, ready, now)

    def close(self) -> None:
        """End the connection."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _meet(self, reading: Reading, now_s: float) -> bool:
        """Whether the name of a reading is one of ours, new ones included while there is room."""
        known = self._known.get(reading.name)
        if known is None:
            if len(self._known) >= NAMES_MAX:
                if not self.counts["dropped_names_max"]:
                    sys.stderr.write(f"ros2_bridge: more than {NAMES_MAX} names: {reading.name} is dropped\n")
                self.counts["dropped_names_max"] += 1
                return False
            self._known[reading.name] = reading
            self._new_since_s = self._new_since_s or now_s
        elif known.kind != reading.kind:
            self.counts["dropped_type_changed"] += 1
            return False
        return True

    def _connect(self, now_s: float) -> None:
        """Connect, or again with the names met since."""
        stale = self._new_since_s is not None and now_s - self._new_since_s >= GATHER_S
        if (self._link is not None and not stale) or now_s < self._next_try_s or not self._known:
            return
        self.close()
        signals = [(name, one.unit, one.kind, "ros2", one.labels) for name, one in self._known.items()]
        self._next_try_s = now_s + RETRY_S
        try:
            self._link = Client(self._path, self._client, signals, timeout_s=SEND_S_MAX)
        except OSError as cause:
            self.counts["connects_failed"] += 1
            sys.stderr.write(f"ros2_bridge: {self._path}: {cause}\n")
            return
        self._declared, self._new_since_s = frozenset(self._known), None

    def _send(self, link: Client, readings: list[Reading], now_s: float) -> None:
        texts = [one.text for one in readings if one.text is not None]
        place = iter(range(len(texts)))
        to_mono_ns = time.monotonic_ns() - time.time_ns()
        now_ns = time.monotonic_ns()
        samples = [
            (
                one.name,
                float(next(place)) if one.text is not None else one.value,
                one.t_unix_ns + to_mono_ns if one.t_unix_ns else now_ns,
            )
            for one in readings
        ]
        try:
            link.send_many(samples, texts)
            self.counts["sent"] += len(samples)
        except OSError as cause:
            self.counts["dropped_lost_agent"] += len(samples)
            sys.stderr.write(f"ros2_bridge: {cause}\n")
            self._link = None
            self._next_try_s = now_s + RETRY_S


def main(
    socket: Annotated[Path, typer.Option(help="socket of the agent")] = Path("/run/vantel/samples.sock"),
    diagnostics: Annotated[
        list[str] | None, typer.Option(help="topic of DiagnosticArray; repeatable")
    ] = None,
    odometry: Annotated[list[str] | None, typer.Option(help="topic of Odometry; repeatable")] = None,
    values: Annotated[bool, typer.Option(help="numbers of diagnostics, besides level and message")] = True,
) -> None:
    """Send ROS 2 diagnostics and odometry to the agent of the van."""
    stopped = threading.Event()
    for signum in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # before the slow imports: a stop in the start is orderly too
        signal.signal(signum, lambda *_: stopped.set())
    if not diagnostics and not odometry:
        diagnostics = ["/diagnostics"]
    try:
        import rclpy  # type: ignore[import-not-found]
        from diagnostic_msgs.msg import DiagnosticArray  # type: ignore[import-not-found]
        from nav_msgs.msg import Odometry  # type: ignore[import-not-found]
        from rclpy.executors import SingleThreadedExecutor  # type: ignore[import-not-found]
        from rclpy.qos import qos_profile_sensor_data  # type: ignore[import-not-found]
        from rclpy.signals import SignalHandlerOptions  # type: ignore[import-not-found]
    except ImportError as cause:
        sys.stderr.write(f"ros2_bridge: {cause}; run it in a shell that sourced /opt/ros/DISTRO/setup.bash\n")
        raise typer.Exit(EXIT_NO_ROS) from None
    bridge = Bridge(str(socket))
    # handlers of rclpy would end its context under whatever is being created
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("vantel_bridge")
    for topic in diagnostics or []:
        read = partial(diagnostic_readings, topic=part_of_name(topic), values=values)
        node.create_subscription(DiagnosticArray, topic, partial(_forward, bridge, read), 10)
    for topic in odometry or []:
        read_pose = partial(odometry_readings, topic=part_of_name(topic))
        forward = partial(_forward, bridge, read_pose)
        node.create_subscription(Odometry, topic, forward, qos_profile_sensor_data)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not stopped.is_set():
            executor.spin_once(timeout_sec=STOP_S_MAX)
    finally:
        bridge.close()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
        told = " ".join(f"{what}={count}" for what, count in sorted(bridge.counts.items()))
        sys.stderr.write(f"ros2_bridge: {told}\n")


def _forward(bridge: Bridge, read: Any, message: Any) -> None:
    bridge.take(read(message))


if __name__ == "__main__":
    typer.run(main)
