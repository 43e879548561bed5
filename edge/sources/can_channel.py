"""One channel of a bus: frames to samples of named signals, for logs and live buses alike.

(ids, lengths, payload, label) -> (slot, label, value) in the order of the frames: messages of the DBC files, of the
J1939 transport protocol and DM1, UDS and OBD-II answers, and how many frames of a message had a wrong checksum. Names are `<prefix>.<Message>.<Signal>`, mapped to catalog
names by the settings and the overlay; scale and offset of the DBC go into the catalog. Signals are declared when they
are first met, or all at once by declare(). Never raises on data; counts say what was left out.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from cantools.database.can import Database
from numpy.typing import NDArray

from edge.sources.answers import Answers
from edge.sources.checksums import NAME as CHECKSUM_ERRORS
from edge.sources.checksums import Checksums
from edge.sources.chunks import SlotTable, legal_group, legal_name
from edge.sources.dbc import BusDecoder, BusSignal
from edge.sources.dbc_tables import BYTES_MAX
from edge.sources.j1939 import LAMPS, Transport, TroubleCodes
from vantel.catalog import Policy, SignalType

_NO_ERRORS = Policy(rate_per_s_max=0.0)
"""A count of errors that grows is told at once by the guard of the detector."""


class Samples(NamedTuple):
    """slot: int32[n] of the slot table. label: int64[n], index or label of the frame, ascending. value: float64[n]."""

    slot: NDArray[np.int32]
    label: NDArray[np.int64]
    value: NDArray[np.float64]


class CanChannel:
    """Decoder of a channel, with the slots of its signals. spellings: names of the channel that a map may use."""

    def __init__(
        self,
        prefix: str,
        spellings: Sequence[str],
        databases: Sequence[tuple[Path, Database]],
        slots: SlotTable,
        *,
        j1939: bool = False,
        checksums: bool = False,
        answers: Answers | None = None,
        code_of: Callable[[str], int] = lambda text: 0,  # noqa: ARG005
        wanted: Callable[[str, str], bool] = lambda message, signal: True,  # noqa: ARG005
    ) -> None:
        """code_of: text to the code that travels as a sample (edge.model.TextTable)."""
        self._prefix = prefix
        self._spellings = tuple(dict.fromkeys((prefix, *spellings)))
        self._slots = slots
        self.decoder = BusDecoder(databases, j1939=j1939, wanted=wanted)
        self._answers = answers
        self._transport = Transport() if j1939 else None
        self._codes = TroubleCodes(code_of) if j1939 else None
        self.signals: list[BusSignal] = list(self.decoder.signals)
        self._answers_first = len(self.signals)
        self.signals += answers.signals if answers is not None else []
        self._codes_first = len(self.signals)
        self.signals += _dm1_signals() if j1939 else []
        self._checksums = Checksums(databases if checksums else (), j1939=j1939)
        self._checksums_first = len(self.signals)
        self.signals += [
            BusSignal(message, CHECKSUM_ERRORS, "", 0, 1.0, 0.0, SignalType.UINT64)
            for message in self._checksums.messages
        ]
        self._slot_of = np.full(len(self.signals), -1, dtype=np.int32)
        self._wanted = np.array([wanted(s.message, s.name) for s in self.signals], np.bool_)
        self._all_declared = False
        self._frames_known_elsewhere = 0

    @property
    def counts(self) -> Counter[str]:
        """What was left out so far, by reason."""
        counts = self.decoder.counts
        counts["frames_unknown"] -= self._frames_known_elsewhere
        if self._answers is not None:
            counts += self._answers.counts
        if self._transport is not None:
            counts += self._transport.counts
        return +counts

    @property
    def whole(self) -> tuple[NDArray[Any], ...] | None:
        """BusDecoder.whole of a channel that is declared and has nothing but messages of the DBC files; else None."""
        more = self._answers is not None or self._transport is not None or len(self._checksums.messages) > 0
        return None if more or not self._all_declared else self.decoder.whole

    def declare(self) -> None:
        """Declare every wanted signal; of two definitions of one id only the last."""
        for at in (*self.decoder.reachable(), *range(self._answers_first, len(self.signals))):
            if self._wanted[at]:
                self._declare(at)
        self.decoder.give_slots(self._slot_of[: self._answers_first])
        self._all_declared = True

    def decode(
        self,
        ids: NDArray[np.uint32],
        lengths: NDArray[np.int64],
        payload: NDArray[np.uint8],
        label: NDArray[np.int64] | None = None,
    ) -> Samples:
        """Samples of the frames, before any map of the settings; see BusDecoder.decode for the arrays."""
        decoded = self.decoder.decode(ids, lengths, payload, label)
        main = self._placed(decoded.slot, decoded.frame, decoded.value, self._all_declared)
        verified = self._checksums.feed(ids, lengths, payload)
        if self._answers is None and self._transport is None and verified is None:
            return main
        if label is None:
            label = np.arange(len(ids), dtype=np.int64)
        parts = [main]
        if self._answers is not None and len(rows := self._answers.rows(ids)):
            self._frames_known_elsewhere += sum(not self.decoder.knows(key) for key in ids[rows].tolist())
            if (found := self._answers.feed(rows, ids, lengths, payload, label)) is not None:
                parts.append(self._placed(found.slot + self._answers_first, found.frame, found.value))
        if verified is not None:
            entry = verified.message + self._checksums_first
            parts.append(self._placed(entry, label[verified.frame], verified.errors))
        if self._transport is not None and self._codes is not None:
            parts += self._j1939(self._transport, self._codes, ids, lengths, payload, label)
        return main if len(parts) == 1 else _in_order(parts)

    def names(self) -> set[str]:
        """Every name by which a map may call a signal of this channel."""
        return {name for s in self.signals for name in self._keys(f"{s.message}.{s.name}")}

    def _j1939(
        self,
        transport: Transport,
        codes: TroubleCodes,
        ids: NDArray[np.uint32],
        lengths: NDArray[np.int64],
        payload: NDArray[np.uint8],
        label: NDArray[np.int64],
    ) -> list[Samples]:
        """Messages of several packets, decoded as frames are, and the trouble codes of both."""
        before = transport.packets
        messages = list(transport.feed(ids, lengths, payload))
        self._frames_known_elsewhere += transport.packets - before
        single = np.flatnonzero(transport.is_dm1(ids))
        whole = [(row, int(ids[row]), payload[row, : lengths[row]].tobytes()) for row in single.tolist()]
        parts = []
        for row, key, data in sorted((*messages, *whole)):
            if (values := codes.take(key, data)) is not None:
                slot = np.arange(len(values), dtype=np.int64) + self._codes_first
                parts.append(self._placed(slot, np.full(len(values), label[row], np.int64), np.array(values)))
        if messages:
            wide = np.zeros((len(messages), BYTES_MAX), np.uint8)
            for at, (_, _, data) in enumerate(messages):
                wide[at, : len(data)] = np.frombuffer(data, np.uint8)
            found = self.decoder.decode(
                np.array([key for _, key, _ in messages], np.uint32),
                np.array([len(data) for _, _, data in messages], np.int64),
                wide,
                label[[row for row, _, _ in messages]],
            )
            parts.append(self._placed(found.slot, found.frame, found.value, self._all_declared))
        return parts

    def _placed(
        self,
        entry: NDArray[np.integer],
        label: NDArray[np.int64],
        value: NDArray[np.float64],
        has_slots: bool = False,
    ) -> Samples:
        """Entries of signals to slots of the table; those not yet declared are, those not wanted are left out."""
        if has_slots:
            return Samples(entry, label, value)  # type: ignore[arg-type]
        slot = self._slot_of[entry]
        if not len(slot) or slot.min() >= 0:
            return Samples(slot, label, value)
        if not self._all_declared:
            for at in np.unique(entry[slot < 0]):
                if self._wanted[at]:
                    self._declare(int(at))
            slot = self._slot_of[entry]
        kept = slot >= 0
        return Samples(slot[kept], label[kept], value[kept])

    def _keys(self, local: str) -> tuple[str, ...]:
        return (*(f"{spelling}.{local}" for spelling in self._spellings), local)

    def _declare(self, at: int) -> None:
        signal = self.signals[at]
        self._slot_of[at] = self._slots.add(
            f"{self._prefix}.{legal_name(signal.message)}.{legal_name(signal.name)}",
            self._keys(f"{signal.message}.{signal.name}"),
            unit=signal.unit,
            group=legal_group(self._prefix),
            kind=signal.kind,
            scale=signal.scale,
            offset=signal.offset,
            policy=_NO_ERRORS if at >= self._checksums_first else Policy(),
        )


def wanted_by(patterns: Sequence[str]) -> Callable[[str, str], bool]:
    """Whether some pattern, with * and ?, fits Message.Signal; a pattern without a dot is one of messages."""
    whole = [_whole(pattern) for pattern in patterns]
    return lambda message, signal: any(fnmatch.fnmatchcase(f"{message}.{signal}", p) for p in whole)


def unused(patterns: Sequence[str], signals: Sequence[tuple[str, str]]) -> list[str]:
    """A sentence for each pattern that fits none of (message, signal)."""
    names = [f"{message}.{signal}" for message, signal in signals]
    told = []
    for pattern in patterns:
        if pattern != "*" and names and not fnmatch.filter(names, _whole(pattern)):
            near = difflib.get_close_matches(
                pattern.rstrip(".*"), {name for name, _ in signals} | set(names), n=1
            )
            hint = f"; did you mean {near[0]}?" if near else ""
            told.append(f"signals: {pattern!r} fits no Message.Signal of the DBC files{hint}")
    return told


def _whole(pattern: str) -> str:
    return pattern if "." in pattern or pattern == "*" else f"{pattern}.*"


def _dm1_signals() -> list[BusSignal]:
    kinds = {"DTCCount": SignalType.UINT64, "DTCList": SignalType.STRING}
    kinds.update(dict.fromkeys(LAMPS, SignalType.BOOL))
    return [BusSignal("DM1", name, "", 0, 1.0, 0.0, kinds[name]) for name in TroubleCodes.names]


def _in_order(parts: Sequence[Samples]) -> Samples:
    """All parts by label; within one label in the order of the parts."""
    label = np.concatenate([part.label for part in parts])
    order = np.argsort(label, kind="stable")
    return Samples(
        np.concatenate([part.slot for part in parts])[order],
        label[order],
        np.concatenate([part.value for part in parts])[order],
    )
