"""The sink: lines into the database, for certain, or a word on each line that it will never take. No client library.

Lines -> requests of at most lines_max lines and bytes_max bytes, one after another, written in a thread. 429, 5xx,
timeouts and lost connections are waited out in place, for ever, with full jitter and Retry-After. 400 and 422 say
nothing certain about what was stored, so they are bisected down to single lines; points are idempotent. 413, and a
connection that is reset under a large body, split it. All other 3xx and 4xx say nothing about lines, but that this is not the
way to the database (access, bucket, a proxy that redirects or wants a login): SinkStopped, a person must act.
A 500 can be our own fault: after SAME_BODY_TRIES_MAX of one body it is bisected. A single line is given up for it, or for
a 400 or 422 that are not the database's own words, only when the server, asked between its failures, took a line again
that it had taken before, BEATEN_MAX times: else one broken proxy would make dead letters of everything.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from cloud.settings import InfluxSection

_log = structlog.get_logger("sink")

SAME_BODY_TRIES_MAX = 4
BEATEN_MAX = 3
OF_THE_LINES = (400, 413, 422)
NOT_NOW = (408, 425, 429)
LATENCY_BOUNDS_S = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0)
RESET_TRIES_MAX = 2
SPLIT_BYTES_MIN = 64 * 1024
RETRY_AFTER_S_MAX = 300.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request. status 0: no answer; then kind is connection, tls, reset or timeout."""

    status: int
    text: str = ""
    retry_after_s: float | None = None
    kind: str = ""

    @property
    def good(self) -> bool:
        """Everything is stored."""
        return 200 <= self.status < 300

    @property
    def of_a_proxy(self) -> bool:
        """A word on the lines that the database did not say: it answers in JSON, all versions of it."""
        return self.status in (400, 422) and not self.text.lstrip().startswith("{")

    @property
    def stops(self) -> bool:
        """Neither the lines nor the moment are to blame: this is not the way to the database."""
        return 300 <= self.status < 500 and self.status not in (*OF_THE_LINES, *NOT_NOW)


class Writer(Protocol):
    """A blocking write of one body of lines; it never raises for what server or network do."""

    def write(self, body: bytes) -> Answer: ...  # noqa: D102


class SinkStopped(Exception):  # noqa: N818 - a state that a person must end
    """The database refuses us as a whole; the text names the settings key to look at."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that the database does not take: its place in the lines given, and what the server said."""

    at: int
    text: str


@dataclass(slots=True)
class SinkState:
    """What the sink is doing, for health and metrics."""

    trouble: str = ""
    tried_mono_s: float = field(default_factory=time.monotonic)
    requests: int = 0
    retries: int = 0
    lines: int = 0
    write_s_sum: float = 0.0
    writes_within: dict[float, int] = field(default_factory=lambda: dict.fromkeys(LATENCY_BOUNDS_S, 0))


@dataclass(slots=True)
class _Part:
    """Lines first to last (exclusive) that go as one body."""

    first: int
    last: int
    tries: int = 0
    beaten: int = 0


class Sink:
    """One writer and its retry policy."""

    def __init__(
        self, writer: Writer, settings: InfluxSection, jitter: Callable[[], float] = random.random
    ) -> None:
        self._writer = writer
        self._settings = settings
        self._jitter = jitter
        self._known_good = b""
        self._trouble_since_s = 0.0
        self._retries_before = 0
        self.state = SinkState()

    async def write(self, lines: Sequence[bytes]) -> list[Refusal]:
        """Returns when every line is stored or refused; refusals in order of place. Raises SinkStopped only."""
        refusals: list[Refusal] = []
        parts = deque(self._parts(lines))
        while parts:
            part = parts.popleft()
            answer = await self._send(lines[part.first : part.last])
            if answer.good:
                self._recovered()
                self.state.lines += part.last - part.first
                self._known_good = lines[part.first]
                continue
            part.tries += 1
            if answer.stops:
                raise SinkStopped(stop_text(self._settings, answer))
            single = part.last - part.first == 1
            if not _is_final(answer, part, sum(map(len, lines[part.first : part.last]))):
                # the last to wait is the last in the queue: others may get through meanwhile
                (parts.append if part.tries > SAME_BODY_TRIES_MAX else parts.appendleft)(part)
                await self._wait(answer, part.tries)
            elif not single:
                middle = (part.first + part.last) // 2
                parts.extendleft((_Part(middle, part.last), _Part(part.first, middle)))
            elif (answer.status == 500 or answer.of_a_proxy) and not await self._alone_to_blame(part):
                parts.append(part)
                await self._wait(answer, part.tries)
            else:
                refusals.append(Refusal(part.first, f"{answer.status} {answer.text}"))
        return sorted(refusals, key=lambda refusal: refusal.at)

    def _recovered(self) -> None:
        """A write went through: say so once, if one had not before."""
        if self.state.trouble:
            self.state.trouble = ""
            _log.info(
                "the database takes what we write again",
                away_s=round(time.monotonic() - self._trouble_since_s, 1),
                retries=self.state.retries - self._retries_before,
            )

    def _parts(self, lines: Sequence[bytes]) -> list[_Part]:
        """Requests within both bounds; a line larger than the bound goes alone."""
        parts: list[_Part] = []
        first = size = 0
        for at, line in enumerate(lines):
            if at > first and (
                at - first >= self._settings.lines_max or size + len(line) + 1 > self._settings.bytes_max
            ):
                parts.append(_Part(first, at))
                first, size = at, 0
            size += len(line) + 1
        if first < len(lines):
            parts.append(_Part(first, len(lines)))
        return parts

    async def _send(self, lines: Sequence[bytes]) -> Answer:
        started_s = time.monotonic()
        self.state.tried_mono_s = started_s
        answer = await asyncio.to_thread(self._writer.write, b"\n".join(lines))
        took_s = time.monotonic() - started_s
        self.state.requests += 1
        self.state.write_s_sum += took_s
        for bound_s in LATENCY_BOUNDS_S:
            self.state.writes_within[bound_s] += took_s <= bound_s
        return answer

    async def _alone_to_blame(self, part: _Part) -> bool:
        """Whether the server, while it does not take one line, takes another one again and again."""
        if self._known_good and (await self._send([self._known_good])).good:
            part.beaten += 1
        return part.beaten >= BEATEN_MAX

    async def _wait(self, answer: Answer, tries: int) -> None:
        """Full jitter below a doubling bound, never shorter than the server asks for."""
        self.state.retries += 1
        trouble = f"write to {self._settings.url}: {answer.status or answer.kind} {answer.text}"
        if not self.state.trouble:
            self._trouble_since_s, self._retries_before = time.monotonic(), self.state.retries - 1
            _log.warning("the database does not take what we write, waiting for it", cause=trouble[:500])
        self.state.trouble = trouble[:500]
        bound_s = min(self._settings.backoff_s_max, self._settings.backoff_s_min * 2 ** min(tries, 20))
        asked_s = min(answer.retry_after_s or 0.0, RETRY_AFTER_S_MAX)
        wait_s = asked_s + self._jitter() * bound_s
        while wait_s > 0:
            self.state.tried_mono_s = time.monotonic()
            await asyncio.sleep(min(wait_s, 1.0))
            wait_s -= 1.0


def stop_text(influx: InfluxSection, answer: Answer) -> str:
    """What a person must do about an answer that stops the sink."""
    fix = {
        401: "check influx.token_file: the token is missing or wrong",
        403: f"check influx.token_file: the token may not write to bucket {influx.bucket!r}",
        404: f"check influx.bucket {influx.bucket!r} and influx.org {influx.org!r}: create the bucket, "
        "or name one that exists",
    }.get(answer.status, "check influx.url: is that InfluxDB, or a proxy that leads elsewhere?")
    return f"write to {influx.url}: {answer.status} {answer.text.strip()}; {fix}"


def _is_final(answer: Answer, part: _Part, body_bytes: int) -> bool:
    """Whether sending the same body again cannot help: split it, or give the line up."""
    if answer.status == 0:
        large = body_bytes >= SPLIT_BYTES_MIN and part.last - part.first > 1
        return answer.kind == "reset" and large and part.tries >= RESET_TRIES_MAX
    if answer.status == 500:
        return part.tries >= SAME_BODY_TRIES_MAX
    return answer.status in OF_THE_LINES
