"""Bits a value and time of the codec beside pcodec, each batch alone, on recorded signals or any .npz of arrays.

    python tests/bench/codec.py                            # signals of tests/data
    python tests/bench/codec.py --npz mine.npz --sizes 64,256 --json result.json

pcodec (level 8, in its wrapped form: count and type out of band) is the peer: pip install pcodec. Every batch is decoded
and compared bit by bit. Times are CPU time of the process, both in one run, calls from Python included.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path

import can
import cantools
import numpy as np

from vantel import codec

DATA = Path(__file__).parents[1] / "data"
BATCHES_MAX = 12
DRIVES = (("can/rav4_2016/rav4_can.log.gz", {"can0": "can/rav4_2016/toyota_new_mc_pt_generated.dbc", "can1": "can/rav4_2016/toyota_adas.dbc"}),
          ("can/ev6_uds_2023/ev6_uds_gnss.log.gz", {"can2": "can/ev6_uds_2023/gnss.dbc"}))  # fmt: skip
TABLES = (
    "imu_gnss/rav4_2016/imu_104hz.csv.gz",
    "imu_gnss/rav4_2016/gnss_ublox_10hz.csv.gz",
    "imu_gnss/rav4_2016/magnetometer_10hz.csv.gz",
)


def bus_signals() -> Iterator[tuple[str, np.ndarray]]:
    """Physical values of every signal of the drives, decoded by cantools."""
    for log, names in DRIVES:
        databases = {}
        for channel, name in names.items():
            databases[channel] = cantools.database.Database(strict=False)
            databases[channel].add_dbc_file(str(DATA / name))
        found: dict[str, list[float]] = {}
        for message in can.CanutilsLogReader(gzip.open(DATA / log, "rt")):  # type: ignore[arg-type]  # noqa: SIM115
            try:
                kind = databases[str(message.channel)].get_message_by_frame_id(message.arbitration_id)
                decoded = kind.decode(bytes(message.data), decode_choices=False)
            except (KeyError, ValueError, cantools.database.Error):
                continue
            for name, value in decoded.items():
                found.setdefault(f"{message.channel}.{kind.name}.{name}", []).append(float(value))
        for name, values in found.items():
            yield name, np.array(values)


def table_signals() -> Iterator[tuple[str, np.ndarray]]:
    """Columns of the CSV recordings."""
    for table in TABLES:
        with gzip.open(DATA / table, "rt") as file:
            rows = list(csv.reader(file))
        for place, name in enumerate(rows[0]):
            yield f"{Path(table).stem}.{name}", np.array([float(row[place]) for row in rows[1:]])


def measure(signals: dict[str, np.ndarray], n: int, level: int) -> dict[str, object]:
    """Figures of one batch size: ratios to pcodec in bits and in time."""
    from pcodec import ChunkConfig, PagingSpec, wrapped

    compressor, config = (
        wrapped.FileCompressor(),
        ChunkConfig(compression_level=8, paging_spec=PagingSpec.exact_page_sizes([n])),
    )
    ratios: dict[str, float] = {}
    ours_s = back_s = theirs_s = 0.0
    for name, values in signals.items():
        ours = theirs = 0
        for first in range(0, min(len(values) // n, BATCHES_MAX) * n, n):
            batch = np.ascontiguousarray(values[first : first + n])
            begun = time.process_time()
            data = codec.encode_values(batch, level=level)
            between = time.process_time()
            decoded = codec.decode_values(data)
            ended = time.process_time()
            assert decoded.tobytes() == batch.tobytes(), f"{name}: not the same bits"
            chunk = compressor.chunk_compressor(batch, config)
            theirs += len(chunk.write_meta()) + len(chunk.write_page(0))
            theirs_s += time.process_time() - ended
            ours += len(data)
            ours_s += between - begun
            back_s += ended - between
        if theirs:
            ratios[name] = ours / theirs
    logs = np.log(list(ratios.values()))
    worst = max(ratios, key=lambda name: ratios[name])
    return {"samples": n, "signals": len(ratios), "bits_ratio_geomean": float(np.exp(logs.mean())), "bits_ratio_worst": ratios[worst],
            "worst": worst, "encode_speed_ratio": theirs_s / ours_s, "encode_us": 1e6 * ours_s / max(1, len(ratios)),
            "decode_over_encode_time": back_s / ours_s}  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--npz", type=Path, help="arrays of your own instead of the recordings")
    parser.add_argument("--sizes", default="64,256,1024", help="samples a batch")
    parser.add_argument("--level", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    signals = dict(np.load(options.npz)) if options.npz else dict([*bus_signals(), *table_signals()])
    signals = {name: values for name, values in signals.items() if len(np.unique(values)) > 1}
    results = [measure(signals, int(n), options.level) for n in options.sizes.split(",")]
    for result in results:
        print(  # noqa: T201
            f"{result['samples']:>6} samples, {result['signals']} signals: {result['bits_ratio_geomean']:.3f} of pcodec's bits "
            f"(worst {result['bits_ratio_worst']:.2f}, {result['worst']}), {result['encode_speed_ratio']:.2f} times its encode speed"
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
