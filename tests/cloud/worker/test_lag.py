"""Goal: a worker that stands still is told from one that waits with reason, and from one that has nothing to do.

Method: Progress with a clock of the test's own; the watchdog ends real workers in test_worker_servers.py.
"""

from __future__ import annotations

from cloud.worker.lag import Progress


def test_progress_tells_a_stall_from_a_wait_and_from_idleness() -> None:
    now = [1000.0]
    progress = Progress(lambda: now[0])
    tp = ("vantel.p1", 0)
    progress.mine = frozenset([tp])  # type: ignore[list-item]

    def look(committed: int, end: int, start: int = 0) -> None:
        progress.observe({tp: committed}, {tp: start}, {tp: end})  # type: ignore[dict-item]
        progress.beat_s = now[0]

    look(0, 0)
    for _ in range(20):
        now[0] += 10
        look(0, 0)
        assert not progress.stalled(60, 0)
    for step in range(7):
        now[0] += 10
        look(0, 5)
        assert bool(progress.stalled(60, 0)) is (step == 6), step
        assert not progress.stalled(60, now[0] - 5)
    now[0] += 10
    look(1, 5)
    assert not progress.stalled(60, 0)
    for end, start, outside in ((9, 9, "what Kafka's retention took needs no commit"), (0, 0, "made anew")):
        for _ in range(20):
            now[0] += 10
            look(1, end, start)
            assert not progress.stalled(60, 0), outside
    assert progress.beyond == {}
    for step in range(7):
        now[0] += 10
        look(9, 5)
        assert progress.beyond == {tp: 9}
        assert not progress.stalled(60, now[0] - 5)
        assert bool(progress.stalled(60, 0)) is (step == 6), step
    look(5, 5)
    now[0] += 61
    assert "event loop" in progress.stalled(60, 0)


def test_a_kafka_that_is_away_is_no_stall_and_the_time_begins_anew_when_it_is_back() -> None:
    now, tp = [1000.0], ("vantel.p1", 0)
    progress = Progress(lambda: now[0])
    progress.mine = frozenset([tp])  # type: ignore[list-item]
    for away_s in (0.0, 500.0):
        now[0] += away_s
        progress.beat_s = now[0]
        assert not progress.stalled(60, 0), "nobody can commit"
        progress.observe({tp: 0}, {tp: 0}, {tp: 5})  # type: ignore[dict-item]
        assert not progress.stalled(60, 0), "it is back just now"
