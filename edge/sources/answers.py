"""UDS and OBD-II answers as samples, from what others ask on the bus; nothing is ever sent here.

Frames of the response ids -> (entry, row, value); entries are those of signals. Values are raw * scale + offset by the
kernel of DBC decoding. Counts: answers_broken, answers_negative, answers_unknown, answers_short.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cantools.database.can import Database
from numpy.typing import NDArray

from edge.sources.answer_file import AnswerFile
from edge.sources.dbc import BusDecoder, BusSignal, Decoded
from edge.sources.dbc_tables import BYTES_MAX
from edge.sources.isotp import IsoTp
from vantel.catalog import SignalType

_NEGATIVE, _DATA, _CODES = 0x7F, {0x41: 1, 0x62: 2}, {0x43, 0x47, 0x4A}
_UDS_CODES = b"\x59\x02"
_SYSTEMS = "PCBU"


class Answers:
    """Answers of one channel."""

    def __init__(self, file: AnswerFile, path: Path, code_of: Callable[[str], int]) -> None:
        """code_of: text to the code that travels as a sample."""
        self._code_of = code_of
        self._answers = file.answers
        self._number_of = {
            (key, answer.head): number
            for number, answer in enumerate(file.answers)
            for key in answer.responses()
        }
        messages = [answer.message(number) for number, answer in enumerate(file.answers)]
        self._decoder = BusDecoder([(path, Database(messages, strict=False))])
        self.signals = list(self._decoder.signals)
        self._codes: dict[int, list[str]] = {}
        self._code_ids: set[int] = set()
        if file.trouble_codes is not None:
            self._code_ids = set(file.trouble_codes.responses())
            name = file.trouble_codes.name
            self.signals += [
                BusSignal(name, "DTCCount", "", 0, 1.0, 0.0, SignalType.UINT64),
                BusSignal(name, "DTCList", "", 0, 1.0, 0.0, SignalType.STRING),
            ]
        self._isotp = IsoTp({key for key, _ in self._number_of} | self._code_ids)
        self._own_counts: Counter[str] = Counter()

    @property
    def counts(self) -> Counter[str]:
        """What was left out so far, by reason."""
        short = self._decoder.counts["signals_truncated"]
        return self._own_counts + self._isotp.counts + Counter(answers_short=short)

    def rows(self, ids: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Frames that belong to answers."""
        return self._isotp.rows(ids)

    def feed(
        self,
        rows: NDArray[np.int64],
        ids: NDArray[np.uint32],
        lengths: NDArray[np.int64],
        payload: NDArray[np.uint8],
        label: NDArray[np.int64],
    ) -> Decoded | None:
        """Samples of the answers that these frames complete, labelled as their last frame."""
        numbers, bodies, labels, extra = [], [], [], []
        for row, key, whole in self._isotp.feed(rows, ids, lengths, payload):
            if whole[0] == _NEGATIVE:
                self._own_counts["answers_negative"] += 1
                continue
            for number, body in self._parts(key, whole):
                numbers.append(number)
                bodies.append(body[:BYTES_MAX])
                labels.append(int(label[row]))
            if key in self._code_ids and (codes := trouble_codes(whole)) is not None:
                extra += [
                    (len(self.signals) - 2 + at, int(label[row]), v)
                    for at, v in enumerate(self._listed(key, codes))
                ]
        if not numbers and not extra:
            return None
        wide = np.zeros((len(numbers), BYTES_MAX), np.uint8)
        for at, body in enumerate(bodies):
            wide[at, : len(body)] = np.frombuffer(body, np.uint8)
        decoded = self._decoder.decode(
            np.array(numbers, np.uint32),
            np.array([len(b) for b in bodies], np.int64),
            wide,
            np.array(labels, np.int64),
        )
        slots, stamps, values = zip(*extra, strict=True) if extra else ((), (), ())
        value = np.concatenate([decoded.value, np.array(values, np.float64)])
        return Decoded(
            np.concatenate([decoded.slot, np.array(slots, np.int32)]),
            np.concatenate([decoded.frame, np.array(stamps, np.int64)]),
            value.view(np.uint64),
            value,
        )

    def _parts(self, key: int, whole: bytes) -> list[tuple[int, bytes]]:
        """(number, data) of each DID or PID of an answer."""
        width = _DATA.get(whole[0])
        if width is None:
            return []
        found: list[tuple[int, bytes]] = []
        at = 1
        while at + width <= len(whole):
            number = self._number_of.get((key, whole[:1] + whole[at : at + width]))
            if number is None:
                self._own_counts["answers_unknown"] += not found
                break
            length = self._answers[number].length
            end = len(whole) if length is None else at + width + length
            found.append((number, whole[at + width : end]))
            at = end
        return found

    def _listed(self, key: int, codes: list[str]) -> tuple[float, float]:
        """Number and list of the codes of all control units."""
        self._codes[key] = codes
        listed = [code for unit in sorted(self._codes) for code in self._codes[unit]]
        return float(len(listed)), float(self._code_of(" ".join(listed)))


def trouble_codes(whole: bytes) -> list[str] | None:
    """Codes of an answer, such as P0301 or P0301-1C; None when the answer is about something else.

    Sources: ISO 14229-1 (0x59 02: mask, then three bytes and a status each), SAE J1979 (number, then two bytes each),
    ISO 15031-6 (letters).
    """
    if whole[:2] == _UDS_CODES and len(whole) >= 3:
        return [
            f"{_letters(whole[at : at + 2])}-{whole[at + 2]:02X}"
            for at in range(3, len(whole) - 3, 4)
            if any(whole[at : at + 3])
        ]
    if whole[0] in _CODES and len(whole) >= 2:
        return [_letters(whole[at : at + 2]) for at in range(2, len(whole) - 1, 2) if any(whole[at : at + 2])]
    return None


def _letters(two: bytes) -> str:
    return f"{_SYSTEMS[two[0] >> 6]}{two[0] >> 4 & 3}{two[0] & 15:X}{two[1]:02X}"
