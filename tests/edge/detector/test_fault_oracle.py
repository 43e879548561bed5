"""Goal: the oracle of the fault bench sees what can be seen, and nothing else.

Method: white noise and a peer with half of it, faults on either side of what the budget allows.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.fault_kinds import Fault, Recording, inject, wander
from tests.bench.fault_oracle import Oracle
from vantel.catalog import Catalog, Signal

AT = 100
NAMES = ("Test.A", "Test.B")


def recording(peers: bool) -> Recording:
    random = np.random.default_rng(5)
    truth = np.cumsum(random.normal(0, 1, 6000))
    table = np.column_stack([truth, truth]) + random.normal(0, 0.1, (6000, 2))
    catalog = Catalog([Signal(name, 70_000 + at) for at, name in enumerate(NAMES)])
    return Recording("made up", catalog, table, np.ones(2), (NAMES,) if peers else ())


@pytest.mark.parametrize(
    ("kind", "size", "peers", "seen"),
    [
        ("spike", 12.0, False, True), ("spike", 1.0, False, False), ("spike", 1.5, True, True),
        ("bias", 1.0, False, False), ("bias", 1.0, True, True), ("drift", 1.0, True, True), ("drift", 4.0, False, False),
        ("noise", 3.0, False, True), ("noise", 1.01, False, False), ("stuck", 0.0, False, True),
    ],
)  # fmt: skip
def test_it_sees_what_stands_out_of_the_noise_or_of_a_peer(
    kind: str, size: float, peers: bool, seen: bool
) -> None:
    of, fault = recording(peers), Fault(kind, size, 0.2 if kind == "spike" else 60)
    oracle, found = Oracle(of, 1.0), []
    for seed in range(5):
        clean, _ = wander(of, 800, np.random.default_rng(seed), 100)
        found.append(oracle.sees(clean, inject(of, clean, fault, 0, AT, seed), 0, fault, AT))
    assert sum(found) >= 4 if seen else sum(found) <= 1
