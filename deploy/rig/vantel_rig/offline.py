"""Recordings through the pipeline of the agent without an agent: the source of a replay, its catalog, and the steps.

For what can be asked of a drive on a desk: what campaigns would send (backtest.py), what each signal costs (costs.py).
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edge import sources
from edge.births import catalog_of
from edge.clock import VanClock
from edge.model import SampleBlock, Source, TextTable
from edge.pipeline import Pipeline
from edge.settings import EdgeSettings, RecordingSection
from vantel.catalog import Catalog

VAN = "back-test"

Replaying = tuple[Source, Catalog, NDArray[np.int32], TextTable, EdgeSettings]
"""Source, catalog of its signals, their rows in it, texts, settings."""


@contextmanager
def replaying(recordings: Sequence[RecordingSection], **sections: Any) -> Iterator[Replaying]:
    """The source of a replay with stamps as recorded, as fast as it goes; sections: other settings of the agent.

    RecordingError, a ValueError, for files that are no recordings; ValueError for settings that cannot be.
    """
    with tempfile.TemporaryDirectory() as folder:
        replay = {
            "kind": "replay",
            "time": "original",
            "speed": 0.0,
            "recordings": [r.model_dump() for r in recordings],
        }
        van = {"id": VAN, "state_dir": Path(folder)}
        try:
            settings = EdgeSettings(van=van, sources=[replay], **sections)  # type: ignore[arg-type]
        except ValidationError as cause:
            wrong = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in cause.errors())
            raise ValueError("; ".join(wrong)) from None
        texts = TextTable()
        source = sources.build(settings.sources[0], VanClock(), texts, 0)
        catalog, rows = catalog_of([source])
        yield source, catalog, rows[0], texts, settings


def drive(
    source: Source,
    rows: NDArray[np.int32],
    pipeline: Pipeline,
    note: Callable[[SampleBlock], None],
    take: Callable[[Sequence[object]], None],
) -> None:
    """Run the source to its end: note sees each block that is not empty, take what the pipeline makes of it."""

    def emit(block: SampleBlock) -> None:
        slots = rows[block.slot]
        take(pipeline.step(SampleBlock(slots, block.t_mono_ns, block.value, block.quality, block.position)))
        if len(block):
            note(block)

    source.run(emit, threading.Event())
    take(pipeline.close())
