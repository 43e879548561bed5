"""How many bytes a class may still send today, on any link and on a metered one. Pure: time and the link come in.

From (class, bytes) to yes or no. Each limited class has a book for all links and one for metered links; both must have
room. P0 has no book: it is never held. A day is a UTC day of the wall clock; a clock that stands before the day of the
books opens no new one, but DAY_S of running time do, over all starts, so neither a board that boots in 1970 nor a clock that
was once in the future gets or keeps more than a day's bytes. Granted bytes are stored before they are spent, RESERVE_BYTES
ahead, and running time every RAN_STEP_S: a restart may lose so much of the budget or the day, and never gains any.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vantel.identity import DeliveryClass

DAY_S = 86_400.0
RESERVE_BYTES = 64 * 1024
RAN_STEP_S = 900.0
SLOW_CLOCK_S = 3600.0
"""A clock that stands on the day of the books may be so slow and still open the next day by itself."""


@dataclass(slots=True)
class DayBooks:
    """What was granted on a day. day: days since 1970 in UTC; granted: bytes by book, such as "p1" or "p1_metered".

    ran_s: how long agents have run since it was opened.
    """

    day: int = 0
    granted: dict[str, int] = field(default_factory=dict)
    ran_s: float = 0.0


class Budget:
    """Owned by one thread. store must make the books durable before it returns; it must not raise."""

    def __init__(
        self, limits: Mapping[str, int | None], books: DayBooks, store: Callable[[DayBooks], None]
    ) -> None:
        """limits: bytes a day by book, "p1", "p2", "p1_metered", "p2_metered"; none or absent: no bound."""
        self._limits = {book: limit for book, limit in limits.items() if limit is not None}
        self._books, self._store = books, store
        self._used = dict(books.granted)
        self._looked_s = -math.inf
        self._unstored_s = 0.0
        self.metered = False
        self.held: set[DeliveryClass] = set()
        """Classes that were refused and have not been allowed since."""

    def look(self, metered: bool, unix_s: float, now_s: float) -> None:
        """What the link is now, and what day."""
        if metered != self.metered:
            self.metered = metered
            self.held.clear()
        day = int(unix_s // DAY_S)
        self._run(now_s)
        long_s = DAY_S + (SLOW_CLOCK_S if day == self._books.day else 0.0)
        if day > self._books.day or self._books.ran_s >= long_s:
            self._books.day, self._books.granted, self._books.ran_s = day, {}, 0.0
            self._used, self._unstored_s = {}, 0.0
            self.held.clear()
            if self._limits:
                self._store(self._books)

    def _run(self, now_s: float) -> None:
        """Count running time."""
        passed_s = max(0.0, now_s - self._looked_s) if self._looked_s > -math.inf else 0.0
        self._looked_s = now_s
        self._books.ran_s += passed_s
        self._unstored_s += passed_s
        if self._unstored_s >= RAN_STEP_S and self._limits:
            self._unstored_s = 0.0
            self._store(self._books)

    def allows(self, delivery_class: DeliveryClass, size_bytes: int) -> bool:
        """Whether so many bytes of the class may go now."""
        if all(
            self._used.get(book, 0) + size_bytes <= limit for book, limit in self._open_books(delivery_class)
        ):
            self.held.discard(delivery_class)
            return True
        self.held.add(delivery_class)
        return False

    def spent(self, delivery_class: DeliveryClass, size_bytes: int) -> None:
        """So many bytes of the class are about to go, resends too."""
        short = False
        for book, _ in self._open_books(delivery_class):
            used = self._used[book] = self._used.get(book, 0) + size_bytes
            if used > self._books.granted.get(book, 0):
                self._books.granted[book] = used + RESERVE_BYTES
                short = True
        if short:
            self._store(self._books)

    def _open_books(self, delivery_class: DeliveryClass) -> list[tuple[str, int]]:
        """Books and limits that count for the class on the present link; none for P0."""
        names = [delivery_class.label] + ([f"{delivery_class.label}_metered"] if self.metered else [])
        return [(name, self._limits[name]) for name in names if name in self._limits]


def unlimited() -> Budget:
    """A budget that holds nothing."""
    return Budget({}, DayBooks(), lambda _: None)
