"""Goal: the gauges that alerts stand on are there, in their units; what cannot be read is absent or as bad as can be.

Method: real files and disks.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from edge.gauges import gauges_of


def test_gauges(tmp_path: Path) -> None:
    found = gauges_of({"connects": 2.0}, {"silent": 0.0}, 77, tmp_path, None)
    assert found["uplink_connects"] == 2.0
    assert found["spool_bytes"] == 77.0
    assert found["campaigns_silent"] == 0.0
    assert gauges_of({}, {"silent": 3.0}, 0, tmp_path, None)["campaigns_silent"] == 3.0
    assert found["disk_free_bytes"] > 0
    assert found["rss_bytes_max"] > 10 * 1024 * 1024
    assert "certificate_left_s" not in found
    assert "disk_free_bytes" not in gauges_of({}, {}, 0, tmp_path / "gone", None)


def test_certificate(tmp_path: Path) -> None:
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "10", "-subj", "/CN=van-1",
            "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "pem")]  # fmt: skip
    subprocess.run(argv, check=True, capture_output=True)
    assert 9.9 < gauges_of({}, {}, 0, tmp_path, tmp_path / "pem")["certificate_left_s"] / 86_400 <= 10
    assert gauges_of({}, {}, 0, tmp_path, tmp_path / "missing")["certificate_left_s"] == 0
    assert gauges_of({}, {}, 0, tmp_path, tmp_path / "key")["certificate_left_s"] == 0
