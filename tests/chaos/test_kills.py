"""Goal: kills of every process and faults of every server, in the middle of a drive, leave no mark: the short form.

Method: one round of tests.chaos.kills with a few kills at points drawn from a fixed seed. The long form is the command.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .kills import Chaos, State

pytestmark = [pytest.mark.servers, pytest.mark.e2e]

GOALS = {"agent": 5, "bridge": 2, "worker": 2}


def test_kills_leave_no_mark(tmp_path: Path) -> None:
    state = State()
    with Chaos(tmp_path, state, seed=3, vans=1, server_faults=True) as chaos:
        assert chaos.calm() > 10_000
        assert chaos.round(GOALS, speed=2.0) == []
    assert all(state.total(victim) > 0 for victim in GOALS), state
    assert state.compared_points > 10_000
