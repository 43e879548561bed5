"""What a bus is asked, and when: requests for DIDs, PIDs and trouble codes, and the flow control of their answers.

(time, frames heard) -> frames to send. One request at a time; an answer of several frames gets flow control only when it
answers the request that is open, so that a tester on the same bus keeps its own conversation. Answers are read where
those of others are read (edge.sources.answers). Pure: seconds of any monotonic clock in, nothing is sent from here.
Sources: ISO 15765-2 (frames, N_Cr), ISO 15765-4 (ids of OBD-II, padding), ISO 14229-1 (response pending).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.settings.sources import PollRequest, PollSection
from edge.sources.answer_file import AnswerFile
from edge.sources.dbc_kernel import EXTENDED

FUNCTIONAL, FUNCTIONAL_WIDE = 0x7DF, 0x18DB33F1
CONSECUTIVE_S_MAX = 1.0
PENDING_S_MAX = 5.0
PAD = 0xCC
_SINGLE, _FIRST, _CONSECUTIVE = 0, 1, 2
_ALL_AT_ONCE = b"\x30\x00\x00"
"""Flow control: go on, no pause, no gap."""
_NEGATIVE, _PENDING, _ANSWER = 0x7F, 0x78, 0x40


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame to send: id with EXTENDED, eight bytes."""

    key: int
    data: bytes


@dataclass(slots=True)
class _Open:
    """The request that waits for its answer. missing: bytes still to come, by response id."""

    number: int
    until_s: float
    answered: bool = False
    missing: dict[int, int] = field(default_factory=dict)


class Poller:
    """Requests of one bus. counts: polls_sent, polls_answered, polls_timed_out, polls_unsent."""

    def __init__(self, section: PollSection, now_s: float) -> None:
        self._section = section
        self._requests = section.requests
        self._responders = [responders(request) for request in section.requests]
        self._answer_ids = np.array([key for ids in self._responders for key in ids], np.uint32)
        self._due_s = [now_s] * len(section.requests)
        self._open: _Open | None = None
        self._rest_until_s = now_s
        self._heard_s = -np.inf
        self.counts: Counter[str] = Counter()

    def wait_s(self, now_s: float) -> float:
        """How long nothing is to be done, frames of the bus aside."""
        if self._open is not None:
            return max(0.0, self._open.until_s - now_s)
        if self._asleep(now_s):
            return float("inf")  # a frame wakes the caller
        return max(0.0, min(self._due_s) - now_s, self._rest_until_s - now_s)

    def tick(self, now_s: float) -> list[Frame]:
        """The next request when one is due, after the time-out of the one before."""
        if self._open is not None:
            if now_s < self._open.until_s:
                return []
            self._close(now_s)
        if now_s < self._rest_until_s or self._asleep(now_s):
            return []
        number = min(range(len(self._requests)), key=self._due_s.__getitem__)
        if now_s < self._due_s[number]:
            return []
        request = self._requests[number]
        due_s = self._due_s[number] + request.period_s
        self._due_s[number] = due_s if due_s > now_s else now_s + request.period_s  # never two to catch up
        self._open = _Open(number, now_s + self._section.answer_s_max)
        self.counts["polls_sent"] += 1
        asked = request.asked()
        return [_frame(request, _key(request.request, request.extended), bytes([len(asked)]) + asked)]

    def hear(
        self,
        now_s: float,
        ids: NDArray[np.uint32],
        lengths: NDArray[np.int64],
        payload: NDArray[np.uint8],
    ) -> list[Frame]:
        """Flow control for what is heard. ids: uint32[n] with EXTENDED. lengths: int64[n]. payload: uint8[n, >= 8]."""
        of_answers = np.isin(ids, self._answer_ids)
        if not of_answers.all():
            self._heard_s = now_s
        out: list[Frame] = []
        for row in np.flatnonzero(of_answers).tolist():
            if self._open is None:
                break
            key, expected = int(ids[row]), self._responders[self._open.number]
            if key not in expected:
                continue
            data = payload[row, : lengths[row]].tobytes()
            address = self._requests[self._open.number].response_address
            if address is not None:
                data = data[1:] if data[:1] == bytes([address]) else b""
            if data and self._take(now_s, key, data):
                out.append(_frame(self._requests[self._open.number], expected[key], _ALL_AT_ONCE))
        return out

    def unsent(self) -> None:
        """The frame that was given last could not be sent."""
        self.counts["polls_unsent"] += 1

    def _take(self, now_s: float, key: int, data: bytes) -> bool:
        """Follow one frame of a responder; True when it wants flow control."""
        waiting = self._open
        assert waiting is not None
        request = self._requests[waiting.number]
        head = request.answer_head()
        kind = data[0] >> 4
        if kind == _SINGLE:
            body = data[1:] if data[0] & 15 else data[2:]  # CAN FD has its length in the second byte
            if body[:2] == bytes((_NEGATIVE, head[0] - _ANSWER)):
                if body[2:3] == bytes((_PENDING,)):
                    waiting.until_s = now_s + PENDING_S_MAX
                else:
                    self._answered(now_s)
            elif body.startswith(head):
                self._answered(now_s)
        elif kind == _FIRST and data[2:].startswith(head):
            waiting.missing[key] = ((data[0] & 15) << 8 | data[1]) - (len(data) - 2)
            waiting.until_s = now_s + CONSECUTIVE_S_MAX
            return True
        elif kind == _CONSECUTIVE and key in waiting.missing:
            waiting.missing[key] -= len(data) - 1
            waiting.until_s = max(waiting.until_s, now_s + CONSECUTIVE_S_MAX)
            if waiting.missing[key] <= 0:
                del waiting.missing[key]
                self._answered(now_s)
        return False

    def _answered(self, now_s: float) -> None:
        """One control unit has answered; a request to all of them stays open for the others."""
        assert self._open is not None
        self._open.answered = True
        if self._open.missing:
            return
        if len(self._responders[self._open.number]) == 1:
            self._close(now_s)
        else:
            self._open.until_s = min(self._open.until_s, now_s + self._section.answer_s_max)

    def _close(self, now_s: float) -> None:
        assert self._open is not None
        self.counts["polls_answered" if self._open.answered else "polls_timed_out"] += 1
        self._open = None
        self._rest_until_s = now_s + self._section.gap_s

    def _asleep(self, now_s: float) -> bool:
        quiet_s_max = self._section.quiet_s_max
        return quiet_s_max is not None and now_s - self._heard_s > quiet_s_max


def unread(section: PollSection, file: AnswerFile) -> list[str]:
    """A sentence for each request whose answer the file does not describe."""
    heads = {answer.head for answer in file.answers}
    told = []
    for at, request in enumerate(section.requests, start=1):
        known = file.trouble_codes is not None if request.trouble_codes else request.answer_head() in heads
        if not known:
            asked = request.asked().hex(" ")
            told.append(
                f"poll: the answers file does not describe what request {at} ({asked}) is answered; add it"
            )
    return told


def responders(request: PollRequest) -> dict[int, int]:
    """Ids that may answer, each with the id that its flow control goes to."""
    key = _key(request.request, request.extended)
    given = request.response
    if given is None:
        if key == FUNCTIONAL:
            given = list(range(0x7E8, 0x7F0))
        else:
            given = _swapped(request.request) if key >= EXTENDED else request.request + 8
    ids = given if isinstance(given, list) else [given]
    if key not in (FUNCTIONAL, FUNCTIONAL_WIDE | EXTENDED):
        return {_key(one, request.extended): key for one in ids}
    return {
        _key(one, request.extended): _key(_swapped(one) if one > 0x7FF else one - 8, request.extended)
        for one in ids
    }


def _key(given: int, extended: bool) -> int:
    return given | EXTENDED if extended or given > 0x7FF else given


def _swapped(given: int) -> int:
    """0x18DAxxyy to 0x18DAyyxx: target and source change places."""
    return (given & ~0xFFFF) | (given & 0xFF) << 8 | (given >> 8 & 0xFF)


def _frame(request: PollRequest, key: int, data: bytes) -> Frame:
    head = b"" if request.address is None else bytes([request.address])
    return Frame(key, (head + data).ljust(8, bytes([PAD])))
