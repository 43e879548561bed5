"""Goal: SIGKILL of a program exactly before or after one of its durable steps, with no hook in the program itself.

Method: run as `killpoints.py edge|cloud ARGUMENTS...`, this wraps the methods behind which a durable step happens (the
doors to disk, MQTT, Kafka and InfluxDB, and the books between them), then runs the program as usual. VANTEL_KILL_AT =
`point:before|after:n` kills the process at the n-th passage of that point; without it nothing is wrapped.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import runpy
import signal
import sys
from typing import Any, NoReturn

VARIABLE = "VANTEL_KILL_AT"

POINTS: dict[str, dict[str, str]] = {
    "agent": {
        "slot.store": "edge.spool.cursor:Slots.store",
        "file.create": "edge.spool.disk:Disk.create",
        "file.write": "edge.spool.disk:Disk.write",
        "file.sync": "edge.spool.disk:Disk.sync",
        "file.rename": "edge.spool.disk:Disk.rename",
        "file.unlink": "edge.spool.disk:Disk.unlink",
        "folder.sync": "edge.spool.disk:Disk.sync_dir",
        "spool.append": "edge.spool.spool:Spool.append",
        "spool.load": "edge.spool.spool:Spool.load",
        "spool.ack": "edge.spool.spool:Spool.ack",
        "link.publish": "edge.uplink.mqtt:Link.publish",
    },
    "bridge": {
        "kafka.submit": "cloud.bridge.sender:KafkaSender.submit",
        "kafka.answered": "cloud.bridge.sender:KafkaSender._answered",
        "mqtt.puback": "cloud.mqtt:MqttLink.puback",
        "mqtt.ack": "cloud.mqtt:MqttLink.publish",
        "ack.take": "cloud.bridge.ack_book:AckBook.take",
    },
    "worker": {
        "batch.take": "cloud.worker.delivery:Delivery.take",
        "influx.write": "cloud.sink.influx:InfluxWriter.write",
        "books.settle": "cloud.ledger.accounts:Books.settle",
        "kafka.publish": "cloud.kafka.publish:Publisher.publish",
        "queue.ack": "cloud.worker.ack_queue:AckQueue.ack_ready",
        "offset.commit": "aiokafka:AIOKafkaConsumer.commit",
    },
}
"""Victim -> point -> module:Class.method."""

PASSAGES_MAX = {
    "slot.store": 3,
    "file.create": 4,
    "file.rename": 4,
    "folder.sync": 6,
    "file.unlink": 3,
    "offset.commit": 3,
}
"""Points that are passed seldom; the others are killed at one of the first PASSAGES_MAX_OTHERS passages."""
PASSAGES_MAX_OTHERS = 10


def die() -> NoReturn:
    """SIGKILL to ourselves: nothing of the process runs any more."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit(137)


def arm(victim_point: str, moment: str, passage: int) -> None:
    """Wrap the method of a point."""
    places = {name: place for points in POINTS.values() for name, place in points.items()}
    module_name, _, path = places[victim_point].partition(":")
    class_name, _, method_name = path.partition(".")
    owner = getattr(importlib.import_module(module_name), class_name)
    method = getattr(owner, method_name)
    passed = 0

    def is_due() -> bool:
        nonlocal passed
        passed += 1
        return passed == passage

    @functools.wraps(method)
    def plain(*args: Any, **named: Any) -> Any:
        due = is_due()
        if due and moment == "before":
            die()
        result = method(*args, **named)
        if due:
            die()
        return result

    @functools.wraps(method)
    async def awaited(*args: Any, **named: Any) -> Any:
        due = is_due()
        if due and moment == "before":
            die()
        result = await method(*args, **named)
        if due:
            die()
        return result

    setattr(owner, method_name, awaited if inspect.iscoroutinefunction(method) else plain)


def main() -> None:
    """Arm what the environment names, then be the program."""
    spec = os.environ.pop(VARIABLE, "")
    program = sys.argv[1]
    if spec:
        point, moment, passage = spec.split(":")
        arm(point, moment, int(passage))
    sys.argv = [program, *sys.argv[2:]]
    runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
