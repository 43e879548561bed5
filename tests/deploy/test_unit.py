"""The systemd unit of the agent.

Goal: it is a valid unit, Numba can work under its hardening, and its limits fit the agent's.
Method: systemd-analyze on a copy whose programs exist; the text itself for what Numba needs.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "deploy" / "edge" / "vantel-edge.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd-analyze")
def test_unit_verifies(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8").replace(
        "/opt/vantel/.venv/bin/vantel-edge", shutil.which("true") or ""
    )
    copy = tmp_path / UNIT.name
    copy.write_text(text, encoding="utf-8")
    result = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    complaints = [line for line in result.stderr.splitlines() if UNIT.name in line]
    assert result.returncode == 0, result.stderr
    assert complaints == []


def test_unit_lets_numba_work() -> None:
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    assert "MemoryDenyWriteExecute=no" in lines
    assert "Environment=NUMBA_CACHE_DIR=/var/cache/vantel/numba" in lines
    assert "CacheDirectory=vantel" in lines
    assert any(line.startswith("ExecStartPre=") and line.endswith("vantel-edge warm") for line in lines)
    start_s = next(int(line.split("=")[1]) for line in lines if line.startswith("TimeoutStartSec="))
    assert start_s >= 120, "the first warm-up compiles every kernel"
