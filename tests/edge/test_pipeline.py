"""The pipeline between sources and spool.

Goal: every sample of the stream is in exactly one batch; a run that resumes at any batch's position produces what the
undisturbed run produced from there on; how the stream is cut into blocks changes nothing; large batches are halved.
Method: a recorded minute of CAN and IMU with marked faults, as blocks, through Pipeline directly.
"""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter

import numpy as np
import pytest

from edge import pipeline as pipeline_module
from edge.births import catalog_of
from edge.clock import VanClock
from edge.model import SampleBlock, TextTable
from edge.pipeline import Pipeline, split_columns
from edge.queues import Outgoing
from edge.settings import EdgeSettings
from edge.sources import build
from vantel import codec
from vantel.catalog import Catalog
from vantel.columns import Column
from vantel.identity import PayloadKind
from vantel.payloads import Batch, Event
from vantel_rig.drives import drive

SETTINGS = EdgeSettings(
    van={"id": "van-1"},
    sources=[{**drive(1, time="original", speed=0.0, loop=False), "at_end": "exit"}],
    faults=[
        {
            "signal": "can2.gnss_speed.Speed",
            "kind": "spike",
            "magnitude": 500.0,
            "at_s": 20,
            "every_s": 20,
            "mark": "m",
        }
    ],
)


@pytest.fixture(scope="module")
def stream() -> tuple[Catalog, list[SampleBlock]]:
    source = build(SETTINGS.sources[0], VanClock(), TextTable(), 0)
    catalog, rows = catalog_of([source])
    blocks: list[SampleBlock] = []
    source.run(blocks.append, threading.Event())
    return catalog, [dataclasses.replace(block, slot=rows[0][block.slot]) for block in blocks]


def run(catalog: Catalog, blocks: list[SampleBlock], resume: int = 0) -> list[Outgoing]:
    pipeline = Pipeline(catalog, SETTINGS, TextTable(), 0, resume)
    out = [item for block in blocks for item in pipeline.step(block)]
    return [payload for item in [*out, *pipeline.close()] for payload in pipeline.encode(item)]


def split_at(blocks: list[SampleBlock], position: int) -> list[SampleBlock]:
    """Blocks as a resuming source gives them: none straddles the position."""
    out = []
    for block in blocks:
        first = block.position - len(block)
        if first < position < block.position:
            cut = position - first
            for part, end in ((slice(None, cut), position), (slice(cut, None), block.position)):
                out.append(SampleBlock(block.slot[part], block.t_mono_ns[part], block.value[part], None, end))
        else:
            out.append(block)
    return out


def test_every_sample_is_in_exactly_one_batch(stream: tuple[Catalog, list[SampleBlock]]) -> None:
    catalog, blocks = stream
    out = run(catalog, blocks)
    counted: Counter[int] = Counter()
    for item in out:
        if item.kind is PayloadKind.BATCH:
            batch = Batch.decode(item.payload)
            for column in codec.decode(batch.columns):
                counted[column.signal_id] += len(column.t_ns)
                assert batch.start_mono_ns <= column.t_ns[0] <= column.t_ns[-1] < batch.end_mono_ns
    ids = [signal.id for signal in catalog.signals]
    expected = Counter(ids[slot] for block in blocks for slot in block.slot.tolist())
    assert counted == expected
    assert out[-1].position == blocks[-1].position


def test_marked_faults_are_found_and_carry_their_mark(stream: tuple[Catalog, list[SampleBlock]]) -> None:
    catalog, blocks = stream
    events = [Event.decode(item.payload) for item in run(catalog, blocks) if item.kind is PayloadKind.EVENT]
    marked = [event for event in events if event.injected == "m"]
    assert len(marked) >= 10
    assert {catalog.by_id(event.signal_id).name for event in marked} == {"can2.gnss_speed.Speed"}


def test_a_resumed_run_goes_on_as_the_undisturbed_one(stream: tuple[Catalog, list[SampleBlock]]) -> None:
    catalog, blocks = stream
    undisturbed = run(catalog, blocks)
    positions = [item.position for item in undisturbed if item.position]
    for position in (positions[0], positions[len(positions) // 2], positions[-2]):
        resumed = run(catalog, split_at(blocks, position), position)
        after = undisturbed[[item.position for item in undisturbed].index(position) + 1 :]
        batches = [item for item in after if item.kind is PayloadKind.BATCH]
        assert [item for item in resumed if item.kind is PayloadKind.BATCH] == batches
        assert {item.payload for item in after} <= {item.payload for item in resumed}
        assert {item.payload for item in resumed} <= {item.payload for item in undisturbed}


def test_block_boundaries_change_nothing(stream: tuple[Catalog, list[SampleBlock]]) -> None:
    catalog, blocks = stream
    rng = np.random.default_rng(5)
    cut = blocks
    for position in rng.integers(1, blocks[-1].position, 300).tolist():
        cut = split_at(cut, position)
    assert len(cut) > len(blocks) + 200
    assert run(catalog, cut) == run(catalog, blocks)


def test_a_batch_too_large_is_halved_and_only_the_last_part_moves_the_position(
    stream: tuple[Catalog, list[SampleBlock]], monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, blocks = stream
    whole = [item for item in run(catalog, blocks) if item.kind is PayloadKind.BATCH]
    monkeypatch.setattr(pipeline_module, "PAYLOAD_BYTES_MAX", 300)
    parts = [item for item in run(catalog, blocks) if item.kind is PayloadKind.BATCH]
    assert len(parts) > len(whole)
    for item in parts:
        batch = Batch.decode(item.payload)
        assert len(batch.columns) <= 300 or batch.sample_count <= len(codec.decode(batch.columns))
    assert told(parts) == told(whole)


def told(items: list[Outgoing]) -> list[tuple[int, int]]:
    """Each position, and how many samples had been sent when it was told."""
    samples, found = 0, []
    for item in items:
        samples += Batch.decode(item.payload).sample_count
        if item.position:
            found.append((item.position, samples))
    return found


def test_halves_hold_what_the_whole_held() -> None:
    t = np.arange(5, dtype=np.int64)
    columns = [
        Column(1, t, t.astype(np.float64), t.astype(np.uint8)),
        Column(2, t[:1], t[:1].astype(np.float64)),
    ]
    first, second = split_columns(columns)
    assert [c.t_ns.tolist() for c in first] == [[0, 1, 2], [0]]
    assert [c.t_ns.tolist() for c in second] == [[3, 4]]
    assert second[0].quality is not None
    assert second[0].quality.tolist() == [3, 4]
