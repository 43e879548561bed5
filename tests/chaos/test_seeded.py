"""Goal: the seeded bugs stay usable, and some of them are looked for at each run.

Method: every patch applies to the tree as it is, and names a suite that exists; two bugs, one on each side, turn a few
seeds of the simulation red in a copy. All of them: `python -m tests.chaos.seeded`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .seeded import ROOT, Bug, apply, bugs, copy_tree, run_suite

pytestmark = pytest.mark.once

LOOKED_FOR = ("ack-ahead-of-a-hole", "no-resend")


def test_there_are_enough() -> None:
    assert len(bugs()) >= 20


@pytest.mark.parametrize("bug", bugs(), ids=lambda bug: bug.name)
def test_the_patch_applies_and_names_its_suite(bug: Bug) -> None:
    checked = apply(ROOT, bug, "--check")
    assert checked.returncode == 0, f"make the patch anew: {checked.stderr}"
    assert bug.what.endswith(".")
    assert bug.suite.startswith("sim ") or all((ROOT / name).exists() for name in bug.suite.split())


def test_bugs_turn_the_simulation_red(tmp_path: Path) -> None:
    copy_tree(tmp_path)
    for bug in bugs():
        if bug.name in LOOKED_FOR:
            apply(tmp_path, bug).check_returncode()
            red, word = run_suite(tmp_path, "sim 0-9")
            assert red, word
            assert " | " in word, f"red for another reason than a broken promise: {word}"
            apply(tmp_path, bug, "--reverse").check_returncode()
