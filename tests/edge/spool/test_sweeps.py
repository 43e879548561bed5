"""Short forms of the spool's sweeps; the long ones are commands (tests/chaos/spool_sweeps.py).

Goal: recovery from any truncation, any flipped bit, any power cut and any error of any system call, with nothing invented,
nothing lost beyond the bound, and nothing lost in silence. Method: units spread over the whole of each sweep.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from . import sweeps, sweeps_damage

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[3]
POWER_RUNS = 40
CALLS_APART = 311


def test_truncation_at_bytes_of_three_segments() -> None:
    assert sweeps_damage.truncations_of_three() >= 3 * 64 * 1024
    for number in range(0, sweeps_damage.truncations_of_three(), 149):
        sweeps_damage.truncated(number)


def test_flipped_bits_of_a_segment() -> None:
    assert sweeps_damage.bits_of_one() >= 8 * 64 * 1024
    for number in [*range(0, 512, 17), *range(512, sweeps_damage.bits_of_one(), 257)]:
        sweeps_damage.flipped(number)


@pytest.mark.parametrize("number", range(POWER_RUNS))
def test_power_cuts_inside_system_calls(number: int) -> None:
    assert sweeps.powerless(number)["states"] == sweeps.CUTS_PER_RUN


def test_errors_of_system_calls_in_a_thousand_operations() -> None:
    calls = range(5, sweeps.system_calls(), CALLS_APART)
    # The sweep forks, which only a process of one thread may do: neither pytest's workers nor OpenBLAS's are one.
    code = f"from tests.edge.spool import sweeps; print(sweeps.faulted({calls!r})['runs'])"
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", code],
        cwd=ROOT, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout.splitlines()[-1]) == 10 * len(calls)
