"""ROS 2 diagnostics and odometry.

Goal: messages become readings with the right name, unit and stamp; odd messages give less, never an error; the bridge survives
the agent. ROS is not needed: messages are plain objects with the fields of their definitions; the last test wants a Python with
rclpy, named by VANTEL_ROS_PYTHON (docs/ros2.md).
Method: tables for the conversion; the bridge against a real socket source; the process without rclpy, and inside ROS.
"""

from __future__ import annotations

import importlib.util
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace as Msg
from typing import Any

import pytest

from edge.ros2.bridge import GATHER_S, NAMES_MAX, RETRY_S, Bridge
from edge.ros2.messages import (
    Reading,
    diagnostic_readings,
    level_of,
    odometry_readings,
    part_of_name,
    yaw_rad,
)
from edge.sources.declarations import Declarations
from tests.edge.sources.test_socket_source import Served, until
from vantel.catalog import Signal, SignalType

STAMP = Msg(sec=1_700_000_000, nanosec=250_000_000)
STAMP_NS = 1_700_000_000_250_000_000


def diagnostics(level: Any = b"\x01", stamp: Any = STAMP) -> Msg:
    values = [
        Msg(key="Temperature (C)", value="45.5"),
        Msg(key="state", value="idle"),
        Msg(key="load", value="nan"),
    ]
    status = Msg(
        name="lidar: front/driver", level=level, message="packets late", hardware_id="x", values=values
    )
    return Msg(header=Msg(stamp=stamp), status=[status])


def odometry(**position: float) -> Msg:
    at = Msg(x=1.0, y=-2.0, z=0.5)
    vars(at).update(position)
    half = math.radians(30) / 2
    turned = Msg(x=0.0, y=0.0, z=math.sin(half), w=math.cos(half))
    covariance = [0.0] * 36
    covariance[0], covariance[7] = 0.09, 0.16
    twist = Msg(linear=Msg(x=8.5, y=0.1, z=0.0), angular=Msg(x=0.0, y=0.0, z=0.2))
    return Msg(
        header=Msg(stamp=STAMP), child_frame_id="base_link",
        pose=Msg(pose=Msg(position=at, orientation=turned), covariance=covariance), twist=Msg(twist=twist, covariance=[]),
    )  # fmt: skip


def test_a_status_becomes_level_message_and_numbers() -> None:
    name = "diagnostics.lidar_front_driver"
    assert list(diagnostic_readings(diagnostics())) == [
        Reading(f"{name}.level", 1.0, STAMP_NS, kind="enum", labels=("OK", "WARN", "ERROR", "STALE")),
        Reading(f"{name}.message", 0.0, STAMP_NS, kind="string", text="packets late"),
        Reading(f"{name}.Temperature_C", 45.5, STAMP_NS),
    ]
    assert len(list(diagnostic_readings(diagnostics(), values=False))) == 2


@pytest.mark.parametrize(("level", "expected"), [(b"\x00", 0), (b"\x03", 3), (2, 2), (b"", None), (b"\x07", None), (None, None), ("x", None)])  # fmt: skip
def test_levels_come_as_bytes_or_numbers(level: Any, expected: int | None) -> None:
    assert level_of(level) == expected


def test_odometry_has_the_units_of_rep_103() -> None:
    found = {reading.name: reading for reading in odometry_readings(odometry())}
    assert {name: (one.value, one.unit) for name, one in found.items()} == {
        "odometry.position.x": (1.0, "m"), "odometry.position.y": (-2.0, "m"), "odometry.position.z": (0.5, "m"),
        "odometry.velocity.x": (8.5, "m/s"), "odometry.velocity.y": (0.1, "m/s"), "odometry.yaw_rate": (0.2, "rad/s"),
        "odometry.yaw": (pytest.approx(math.radians(30)), "rad"), "odometry.position.deviation": (0.5, "m"),
    }  # fmt: skip
    assert {one.t_unix_ns for one in found.values()} == {STAMP_NS}


@pytest.mark.parametrize(
    "message", [Msg(), Msg(header=None, status=[Msg()]), Msg(pose=Msg(pose=None)), None, 5]
)
def test_a_message_without_its_fields_gives_less_and_no_error(message: Any) -> None:
    assert list(odometry_readings(message)) == []
    assert all(one.kind == "string" for one in diagnostic_readings(message))


def test_what_is_no_number_or_no_rotation_is_left_out() -> None:
    assert "odometry.position.x" not in {one.name for one in odometry_readings(odometry(x=math.inf))}
    assert yaw_rad(Msg(x=0.0, y=0.0, z=0.0, w=0.0)) is None
    assert part_of_name("/odom") == "odom"
    assert part_of_name("///") == "unnamed"


def declared_before(folder: Path) -> None:
    readings = [*diagnostic_readings(diagnostics()), *odometry_readings(odometry())]
    named = [
        Signal(one.name, unit=one.unit, type=SignalType[one.kind.upper()], group="ros2", labels=one.labels)
        for one in readings
    ]
    Declarations(folder / "declared.json", "stack").bind(tuple(named), 0.0)


def test_messages_arrive_at_the_agent_and_a_lost_agent_is_found_again(tmp_path: Path) -> None:
    declared_before(tmp_path)
    bridge = Bridge(str(tmp_path / "samples.sock"))
    now_s = 1000.0
    bridge.take(diagnostic_readings(diagnostics()), now_s)
    assert bridge.counts["connects_failed"] == 1
    assert bridge.counts["dropped_no_agent"] == 3
    for at in range(2):
        now_s += RETRY_S + GATHER_S
        with Served(tmp_path) as agent:
            unstamped = diagnostics(stamp=Msg(sec=0, nanosec=0))
            before_ns = time.monotonic_ns()
            bridge.take(diagnostic_readings(unstamped), now_s)
            if at == 0:
                message = odometry()
                now_ns = time.time_ns()
                message.header.stamp = Msg(sec=now_ns // 10**9, nanosec=now_ns % 10**9)
                now_s += RETRY_S + GATHER_S
                bridge.take(odometry_readings(message), now_s)
                now_s += RETRY_S + GATHER_S
                bridge.take(odometry_readings(message), now_s)
                until(lambda agent=agent: agent.of("stack.odometry.velocity.x"))  # type: ignore[misc]
                (t_ns, speed), *_ = agent.of("stack.odometry.velocity.x")
                assert speed == 8.5
                assert abs(t_ns - before_ns) < 30e9
            until(lambda agent=agent: agent.of("stack.diagnostics.lidar_front_driver.message"))  # type: ignore[misc]
            (t_ns, code), *_ = agent.of("stack.diagnostics.lidar_front_driver.message")
            assert agent.texts.text(code) == "packets late"
            assert before_ns <= t_ns <= time.monotonic_ns()
            assert agent.of("stack.diagnostics.lidar_front_driver.level")[0][1] == 1.0
        now_s += RETRY_S
        bridge.take(diagnostic_readings(diagnostics()), now_s)  # the agent is gone: found out here
    bridge.close()


def test_names_are_bounded_and_keep_their_type(tmp_path: Path) -> None:
    bridge = Bridge(str(tmp_path / "none.sock"))
    bridge.take((Reading(f"n{at}", 0.0, 0) for at in range(NAMES_MAX + 5)), 0.0)
    assert bridge.counts["dropped_names_max"] == 5
    bridge.take([Reading("n1", 0.0, 0, kind="string", text="x")], 0.0)
    assert bridge.counts["dropped_type_changed"] == 1


@pytest.mark.skipif(importlib.util.find_spec("rclpy") is not None, reason="rclpy is there")
def test_without_ros_the_process_says_what_to_do() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge.ros2.bridge"], check=False, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 69
    assert "setup.bash" in done.stderr
    assert "rclpy" not in sys.modules


NODE = """
import time, rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from nav_msgs.msg import Odometry
from rclpy.qos import qos_profile_sensor_data
from std_msgs.msg import Header
rclpy.init()
node = rclpy.create_node("van")
health = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
motion = node.create_publisher(Odometry, "/odometry", qos_profile_sensor_data)
while True:
    now = node.get_clock().now().to_msg()
    values = [KeyValue(key="Temperature (C)", value="45.5"), KeyValue(key="state", value="idle")]
    status = DiagnosticStatus(level=DiagnosticStatus.WARN, name="lidar: front/driver", message="packets late", values=values)
    health.publish(DiagnosticArray(header=Header(stamp=now), status=[status]))
    moved = Odometry()
    moved.header.stamp, moved.twist.twist.linear.x, moved.pose.pose.orientation.w = now, 8.5, 1.0
    motion.publish(moved)
    time.sleep(0.05)
"""


@pytest.mark.skipif(
    "VANTEL_ROS_PYTHON" not in os.environ, reason="VANTEL_ROS_PYTHON names no Python with rclpy"
)
def test_inside_ros_topics_arrive_and_a_stop_is_orderly(tmp_path: Path) -> None:
    declared_before(tmp_path)
    python = os.environ["VANTEL_ROS_PYTHON"]
    with Served(tmp_path) as agent:
        command = ["-m", "edge.ros2.bridge", "--socket", str(agent.path), "--diagnostics", "/diagnostics"]
        bridge = subprocess.Popen(
            [python, *command, "--odometry", "/odometry"], stderr=subprocess.PIPE, text=True
        )
        node = subprocess.Popen([python, "-c", NODE])
        try:
            until(lambda: agent.of("stack.odometry.velocity.x"))
            until(lambda: agent.of("stack.diagnostics.lidar_front_driver.Temperature_C"))
            bridge.send_signal(signal.SIGTERM)
            _, told = bridge.communicate(timeout=60)
        finally:
            bridge.kill()
            node.kill()
            node.wait(60)
        assert bridge.returncode == 0, told
        assert "sent=" in told
        (t_ns, speed), *_ = agent.of("stack.odometry.velocity.x")
        assert speed == 8.5
        assert 0 < time.monotonic_ns() - t_ns < 120e9
        assert agent.of("stack.diagnostics.lidar_front_driver.Temperature_C")[0][1] == 45.5
        _, code = agent.of("stack.diagnostics.lidar_front_driver.message")[0]
        assert agent.texts.text(code) == "packets late"


STOPPED_WHILE_STARTING = """
import os, signal, sys, time, rclpy, typer
from edge.ros2.bridge import main
create = rclpy.create_node
def create_and_be_stopped(name):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(1)  # a handler in C++ has its thread
    return create(name)
rclpy.create_node = create_and_be_stopped
typer.run(main)
"""


@pytest.mark.skipif(
    "VANTEL_ROS_PYTHON" not in os.environ, reason="VANTEL_ROS_PYTHON names no Python with rclpy"
)
def test_inside_ros_a_stop_in_the_start_is_orderly() -> None:
    command = [os.environ["VANTEL_ROS_PYTHON"], "-c", STOPPED_WHILE_STARTING]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "ros2_bridge: \n")
