"""Blocks that are in the rings and wait to be judged become one, so that many small ones cost few steps.

A small block after a pause costs detector, campaigns and batcher more than its samples do (docs/decisions/0016-can-bus.md).
The one block is in order of time; samples of one time keep the order of the blocks. Blocks of a replay, whose positions
count samples, stay as they are. Pure; never fails on data.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.model import SampleBlock


def merged(blocks: Sequence[SampleBlock]) -> Sequence[SampleBlock]:
    """One block for all live ones."""
    if len(blocks) < 2 or any(block.position for block in blocks):
        return blocks
    slot = np.concatenate([block.slot for block in blocks])
    stamps = np.concatenate([block.t_mono_ns for block in blocks])
    value = np.concatenate([block.value for block in blocks])
    quality = None
    if any(block.quality is not None for block in blocks):
        good = [
            np.zeros(len(block), np.uint8) if block.quality is None else block.quality for block in blocks
        ]
        quality = np.concatenate(good)
    order = np.argsort(stamps, kind="stable")
    return [
        SampleBlock(slot[order], stamps[order], value[order], None if quality is None else quality[order])
    ]
