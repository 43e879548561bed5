"""A recorded drive in InfluxDB, compared with an independent decode.

Goal: at full rate and original time every value and every stamp of every signal arrives, to the last bit.
Method: cantools decodes the candump text itself here; the van replays the same file through the whole pipe; both are
compared as (stamp, value) lists. Two samples of one signal with one stamp: the later has 1 ns more (docs/format.md).
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from pathlib import Path

import cantools
import pytest

from cloud.query import InfluxQuery
from vantel_rig.cloud_side import CloudSide
from vantel_rig.pytest_plugin import VanFactory

DATA = Path(__file__).parents[1] / "data" / "can" / "rav4_2016"
LOG = DATA / "rav4_can.log.gz"
DBC = {"can0": DATA / "toyota_new_mc_pt_generated.dbc", "can1": DATA / "toyota_adas.dbc"}

pytestmark = [pytest.mark.servers, pytest.mark.e2e]


def independent_decode() -> dict[str, list[tuple[int, float]]]:
    databases = {channel: cantools.database.load_file(path, strict=False) for channel, path in DBC.items()}
    known = {channel: {m.frame_id: m for m in db.messages} for channel, db in databases.items()}
    samples: dict[str, list[tuple[int, float]]] = defaultdict(list)
    with gzip.open(LOG, "rt") as lines:
        for line in lines:
            stamp, channel, frame = line.split()[:3]
            identifier, _, data = frame.partition("#")
            message = known[channel].get(int(identifier, 16))
            if message is None:
                continue
            seconds, _, fraction = stamp.strip("()").partition(".")
            t_ns = int(seconds) * 10**9 + int(fraction.ljust(9, "0"))
            decoded = message.decode(bytes.fromhex(data), decode_choices=False, allow_truncated=True)
            for name, value in decoded.items():
                column = samples[f"{channel}.{message.name}.{name}"]
                t = t_ns if not column or t_ns > column[-1][0] else column[-1][0] + 1
                column.append((t, float(value)))
    return samples


def test_every_value_and_stamp_of_a_drive_is_in_influxdb(
    vantel_cloud: CloudSide, vantel_van: VanFactory
) -> None:
    van = vantel_van(
        "bit-exact",
        [
            {
                "kind": "replay",
                "time": "original",
                "speed": 0.0,
                "at_end": "exit",
                "recordings": [{"path": str(LOG), "dbc": {k: str(v) for k, v in DBC.items()}}],
            }
        ],
        batch={"fidelity": "full"},
    )
    assert van.wait_exit(240), f"the van did not drain:\n{van.tail()}"
    vantel_cloud.wait_drained(60)
    query = InfluxQuery(vantel_cloud.settings.influx)
    expected = independent_decode()
    for name, samples in expected.items():
        series = query.query(f'SELECT "{name}" FROM "telemetry" WHERE van = \'bit-exact\'')
        stored = [(int(row["time"]), float(row[name])) for part in series for row in part.rows()]
        assert stored == samples, f"{name}: {len(stored)} stored, {len(samples)} in the recording"
    names = {
        row["fieldKey"] for part in query.query('SHOW FIELD KEYS FROM "telemetry"') for row in part.rows()
    }
    assert set(expected) <= names
