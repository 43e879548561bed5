"""Blocks that are in the rings and wait to be judged: they become one, so that many small ones cost few steps.

A small block after a pause costs detector, campaigns and batcher more than its samples do (docs/decisions/0016-can-bus.md),
so the blocks of JUDGE_S are judged together. An event is later by so much; a sample is in its ring at once.
The one block is in order of time; samples of one time keep the order of the blocks. Blocks of a replay, whose positions
count samples, do not wait and stay as they are; nor do more than BLOCKS_MAX. Pure; never fails on data.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.model import SampleBlock

JUDGE_S = 0.02
BLOCKS_MAX = 64
IDLE_S = 0.1


class Waiting:
    """The blocks that wait, and since when (seconds of any monotonic clock). Owned by one thread."""

    def __init__(self) -> None:
        self._blocks: list[SampleBlock] = []
        self._since_s = 0.0

    def __len__(self) -> int:
        return len(self._blocks)

    def wait_s(self, now_s: float) -> float:
        """How long to wait for another block, at most."""
        return max(0.0, self._since_s + JUDGE_S - now_s) if self._blocks else IDLE_S

    def put(self, block: SampleBlock, now_s: float) -> Sequence[SampleBlock]:
        """Let a block wait; what is to be judged now, which may be nothing."""
        if not self._blocks:
            self._since_s = now_s
        self._blocks.append(block)
        due = now_s >= self._since_s + JUDGE_S or len(self._blocks) >= BLOCKS_MAX or block.position
        return self.rest() if due else ()

    def rest(self) -> Sequence[SampleBlock]:
        """All that waits, for nothing else comes."""
        blocks, self._blocks = self._blocks, []
        return merged(blocks)


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
