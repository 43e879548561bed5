"""Goal: what a hostile van can send ends as a value, in bounded memory: bombs, deep nesting, giant claims, garbage.

Method: each message is sealed with good checksums, so that it passes to the decoder it is made for, and is judged by the
worker's core in a process of its own, whose peak of resident memory and processor time the kernel counts. Nothing about
speed is asserted but that it ends. tests/fuzz has the executions in millions.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

CHILD = """
import json, resource, sys, time
import numpy as np
from cloud.worker.core import digest
from cloud.worker.outcome import Accept, Reject
from cloud.worker.steps.open import Incoming, open_bundle
from cloud.worker.steps.validate import CatalogBook
from vantel.catalog import Signal, assemble
from vantel.codec import encode
from vantel.codec import format as fmt
from vantel.columns import Column
from vantel.envelope import ClockStamp, Envelope, compose_message, seal
from vantel.identity import DeliveryClass, Epoch, PayloadKind
from vantel.payloads import BATCH_SAMPLES_MAX, Batch, Fidelity

VAN, S = "van-1", 10**9
catalog = assemble([Signal("can0.A.B", group="can0")])
book = CatalogBook(0.0)
book.learn(catalog.encode())

def message(payload, kind=PayloadKind.BATCH, hash_=catalog.hash):
    lane = DeliveryClass.P0 if kind is not PayloadKind.BATCH else DeliveryClass.P1
    return compose_message(seal(Envelope(VAN, Epoch(1, 1), lane, 0, kind, payload, hash_)), ClockStamp(bytes(16), 17 * 10**17, 2))

def nested(depth, groups):
    if groups:
        return b"\\x7b" * depth + b"\\x7c" * depth
    body = b""
    for _ in range(depth):
        head, size = b"\\x0a", len(body)
        while size > 127:
            head += bytes([size & 127 | 128]); size >>= 7
        body = head + bytes([size]) + body
    return body

def batch(columns, count=1, fidelity=Fidelity.ROLLUP):
    return Batch(0, 10 * S, columns, count, fidelity).encode()

def bomb(samples):
    t_ns = np.arange(samples, dtype=np.int64)
    return encode([Column(catalog.by_name("can0.A.B").id, t_ns, np.zeros(samples))])

kind = sys.argv[1]
topic = "vantel.p1"
if kind == "bomb":
    item = message(batch(bomb(fmt.SAMPLES_MAX), fmt.SAMPLES_MAX))
elif kind == "bomb at full rate":
    item = message(batch(bomb(fmt.SAMPLES_MAX), 1, Fidelity.FULL))
elif kind == "largest at full rate":
    item = message(batch(bomb(BATCH_SAMPLES_MAX), BATCH_SAMPLES_MAX, Fidelity.FULL))
elif kind == "claims":
    item = message(batch(b"\\xff" * 200))
elif kind in ("deep groups", "deep fields"):
    item = message(nested(10_000, kind == "deep groups"))
elif kind == "deep birth":
    item, topic = message(nested(10_000, False), PayloadKind.BIRTH), "vantel.p0"
elif kind == "deep health":
    item = compose_message(seal(Envelope(VAN, Epoch(1, 1), DeliveryClass.P1, 0, PayloadKind.HEALTH, nested(10_000, True))),
                           ClockStamp(bytes(16), 17 * 10**17, 2))
elif kind == "oversize":
    item = bytes(100 * 2**20)
elif kind in ("deep bundle", "garbage bundle"):
    item = nested(10_000, True) if kind == "deep bundle" else bytes(range(256)) * 4000
digest(Incoming("vantel.p1", VAN, message(batch(bomb(10))), 1), book, 0.0)  # compiled, imported, warm
before_kb, began_s = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
if "bundle" in kind:
    outcome = open_bundle(topic, item)
else:
    outcome = digest(Incoming(topic, VAN, item, 1), book, 0.0).outcome
grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
print(json.dumps({"outcome": type(outcome).__name__, "reason": getattr(outcome, "reason", ""), "bytes": len(item),
                  "grown_mb": round(grown_kb / 1024, 1), "cpu_s": round(time.process_time() - began_s, 3)}))
"""

WANTED = {
    "bomb": ("Reject", "oversize"),
    "bomb at full rate": ("Reject", "oversize"),
    "largest at full rate": ("Accept", ""),
    "claims": ("Reject", "codec"),
    "deep groups": ("Reject", "malformed"),
    "deep fields": ("Reject", "codec"),
    "deep birth": ("Reject", "catalog_invalid"),
    "deep health": ("Reject", "malformed"),
    "oversize": ("Reject", "oversize"),
    "deep bundle": ("Reject", "bundle"),
    "garbage bundle": ("Reject", "bundle"),
}
GROWN_MB_MAX = 128
"""A hundred thousand lines of the largest batch need 40; a million samples of a bomb, decoded and refused, 16."""


@pytest.mark.once
@pytest.mark.parametrize("kind", WANTED)
def test_a_hostile_message_is_a_value_and_takes_bounded_memory(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, kind], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert (found["outcome"], found["reason"]) == WANTED[kind], found
    assert found["grown_mb"] < GROWN_MB_MAX, found
