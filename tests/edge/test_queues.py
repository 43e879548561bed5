"""The bounded queue between threads.

Goal: the bound holds, a full queue refuses or waits as told, order is kept, a stop frees a waiting thread.
Method: items of known size, one other thread where waiting matters.
"""

from __future__ import annotations

import threading
import time

from edge.queues import ITEMS_MAX, BoundedQueue


def test_a_full_queue_refuses_and_keeps_its_order() -> None:
    queue: BoundedQueue[int] = BoundedQueue(100)
    assert [queue.put(n, 40) for n in range(4)] == [True, True, False, False]
    assert queue.bytes_held == 80
    assert [queue.get(0), queue.get(0), queue.get(0)] == [0, 1, None]
    assert queue.bytes_held == 0


def test_an_item_larger_than_the_bound_passes_alone() -> None:
    queue: BoundedQueue[int] = BoundedQueue(100)
    assert queue.put(1, 1000)
    assert not queue.put(2, 1)
    assert queue.get(0) == 1
    assert queue.put(2, 1)


def test_a_waiting_put_goes_on_when_there_is_room() -> None:
    queue: BoundedQueue[int] = BoundedQueue(10)
    stop = threading.Event()
    queue.put(1, 10)
    took: list[bool] = []
    waiter = threading.Thread(target=lambda: took.append(queue.put(2, 10, stop)))
    waiter.start()
    time.sleep(0.2)
    assert took == []
    assert queue.get(1) == 1
    waiter.join(60)
    assert took == [True]
    assert queue.get(1) == 2


def test_a_stop_frees_a_waiting_put() -> None:
    queue: BoundedQueue[int] = BoundedQueue(10)
    stop = threading.Event()
    queue.put(1, 10)
    took: list[bool] = []
    waiter = threading.Thread(target=lambda: took.append(queue.put(2, 10, stop)))
    waiter.start()
    stop.set()
    waiter.join(60)
    assert took == [False]


def test_a_queue_is_idle_only_when_its_reader_came_back() -> None:
    queue: BoundedQueue[int] = BoundedQueue(10)
    assert queue.idle
    queue.put(1, 10)
    assert not queue.idle
    assert queue.get(1) == 1
    assert not len(queue)
    assert not queue.idle
    assert queue.get(0) is None
    assert queue.idle


def test_what_waits_is_taken_at_once_and_counts_as_in_hand() -> None:
    queue: BoundedQueue[int] = BoundedQueue(1000)
    assert queue.get_waiting(0) == []
    for n in range(ITEMS_MAX + 3):
        assert queue.put(n, 1)
    assert queue.get_waiting(0) == list(range(ITEMS_MAX))
    assert (len(queue), queue.bytes_held, queue.idle) == (3, 3, False)
    assert queue.get_waiting(0) == list(range(ITEMS_MAX, ITEMS_MAX + 3))
    assert (queue.bytes_held, queue.idle) == (0, False)
    assert queue.get_waiting(0) == []
    assert queue.idle
