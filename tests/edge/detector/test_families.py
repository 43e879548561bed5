"""Goal: the event F1 of the families' bench pays nobody for alarms without end.

Method: a constant score, one that is right, and one whose echo is passed over or not.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.families import event_f1


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
