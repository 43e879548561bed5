"""Goal: the figures of the families' benches pay nobody for alarms without end.

Method: a constant score, one that is right, and one whose echo is passed over or not.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.families import event_f1
from tests.bench.one_threshold import best, windows_of


def test_alarms_without_end_are_false_all_the_time() -> None:
    labels = np.zeros(3000, bool)
    labels[1000:1020] = True
    assert event_f1(np.zeros(3000), labels) < 0.05
    assert event_f1(labels.astype(float), labels) == 1.0


def test_an_echo_is_false_unless_it_is_passed_over() -> None:
    labels = np.zeros(3000, bool)
    labels[1000:1020] = True
    score = np.zeros(3000)
    score[1025], score[1010] = 2.0, 1.0
    assert event_f1(score, labels) == pytest.approx(2 / 3)
    assert event_f1(score, labels, echo=10) == 1.0


def test_one_threshold_pays_for_early_alarms_and_charges_for_those_outside() -> None:
    labels = np.zeros(3000, bool)
    labels[2000:2020] = True
    first, last = windows_of(labels)[0]
    assert last - first == 300
    early, late, outside, none = (np.zeros(3000) for _ in range(4))
    early[first], late[last], none[0] = 1.0, 1.0, 1.0
    outside[[first, *range(2400, 2410)]] = 1.0
    found = [best([score], [labels])[0] for score in (early, late, outside, none)]
    assert found[0] == pytest.approx(100.0, abs=0.1)
    assert 45.0 < found[1] < 55.0
    assert 35.0 < found[2] < found[0] - 40.0
    assert found[3] == 0.0, "what comes first of all is not judged"
