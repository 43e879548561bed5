"""Goal: bulk fills a link of any speed, and little of it stands before an alarm.

Method: a link of one queue with a rate and a delay, in simulated time; the window of the uplink decides what is sent.
"""

from __future__ import annotations

import pytest

from edge.uplink.bulk_window import BYTES_MIN, QUEUE_S_MAX, BulkWindow


def run(rate_bytes_s: float, delay_s: float, size: int, seconds: float = 300.0) -> tuple[float, float]:
    """Share of the link that is used, and the longest time that a message waits for those before it (second half)."""
    window, now_s, free_s = BulkWindow(), 0.0, 0.0
    flights: list[tuple[float, float]] = []  # answered at, sent at
    carried, longest_s = 0, 0.0
    while now_s < seconds:
        while window.open:
            waits_s = max(0.0, free_s - now_s)
            free_s = now_s + waits_s + size / rate_bytes_s
            flights.append((free_s + delay_s, now_s))
            window.sent(size)
            if now_s > seconds / 2:
                longest_s = max(longest_s, waits_s)
        answered_s, sent_s = flights.pop(0)
        now_s = answered_s
        window.answered(size, sent_s, now_s)
        carried += size
    return carried / seconds / rate_bytes_s, longest_s


@pytest.mark.parametrize("size", [1500, 28_000])
@pytest.mark.parametrize("delay_s", [0.02, 0.3, 2.0])
@pytest.mark.parametrize("rate_bytes_s", [32_000.0, 64_000.0, 1e6])
def test_the_link_is_full_and_the_queue_short(rate_bytes_s: float, delay_s: float, size: int) -> None:
    share, longest_s = run(rate_bytes_s, delay_s, size)
    assert share > 0.5
    assert longest_s <= 2 * QUEUE_S_MAX + (2 * size + BYTES_MIN) / rate_bytes_s


def test_one_message_may_always_go_and_a_new_connection_begins_anew() -> None:
    window = BulkWindow()
    window.sent(10_000_000)
    assert not window.open
    window.answered(10_000_000, 0.0, 1.0)
    assert window.open
    for at in range(2, 40):
        window.sent(1000)
        window.answered(1000, float(at), at + 50.0 * at)
    assert window.bytes_max >= BYTES_MIN
    window.reset()
    assert window.open and window.in_flight_bytes == 0
