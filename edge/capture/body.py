"""Samples of a capture as a batch: typed columns, encoded, full fidelity. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.batch_columns import Representable, columns_of, plan_of
from edge.capture.gather import Rows
from edge.model import TextTable
from vantel import codec
from vantel.catalog import Catalog
from vantel.payloads import Batch, CoordinateSystem, Fidelity


@dataclass(slots=True)
class BodyEncoder:
    """positions: ids of signals that need a datum."""

    catalog: Catalog
    texts: TextTable
    datum: CoordinateSystem
    positions: set[int]

    def __call__(self, rows: Rows, start_ns: int, end_ns: int) -> Batch:
        """(slot, t, value) by time, at most one of a signal at one time -> batch; values that no type holds are shed."""
        slot, t, value = rows
        fits = Representable(self.catalog).mask(slot, value)
        quality = np.zeros(int(fits.sum()), np.uint8)
        columns = columns_of(self.catalog, self.texts, slot[fits], t[fits], value[fits], quality)
        located = any(column.signal_id in self.positions for column in columns)
        shed = {"unrepresentable": int((~fits).sum())} if not fits.all() else {}
        return Batch(
            start_ns, end_ns, codec.encode(columns, plan=plan_of(self.catalog)), len(quality), Fidelity.FULL,
            self.datum if located else CoordinateSystem.NONE, shed,
        )  # fmt: skip
