"""Sources of other packages.

Goal: an installed entry point is found and runs as any other source; what it emits wrongly ends it and nothing else.
Method: a package with entry points is written into a folder on the path, as pip would.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.clock import VanClock
from edge.model import SampleBlock, TextTable
from edge.settings.sources import PluginSource
from edge.sources import build
from edge.sources.plugin import PluginError, checked

MODULE = """
import threading
import numpy as np
from edge.model import SampleBlock
from vantel.catalog import Signal

class Tyres:
    replayed = False
    simulated = True
    counters = {"reads": 3}

    def __init__(self, context):
        self.name, self.context = context.name, context

    def signals(self):
        return [Signal(name="tyres.pressure", unit=self.context.options["unit"], group="tyres")]

    def run(self, emit, stop):
        for slot in self.context.options.get("slots", [0]):
            now = self.context.clock.mono_ns()
            emit(SampleBlock(np.array([slot]), np.array([now]), np.array([2.5])))

def broken(context):
    raise RuntimeError("no sensor bus")
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tyres_plugin.py").write_text(MODULE)
    info = tmp_path / "tyres-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tyres\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[vantel.sources]\ntyres = tyres_plugin:Tyres\nbroken = tyres_plugin:broken\ngone = nowhere:Nothing\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def section(entry_point: str, **options: Any) -> PluginSource:
    return PluginSource(kind="plugin", name="t", entry_point=entry_point, options={"unit": "kPa"} | options)


def test_an_entry_point_is_a_source(installed: None) -> None:
    source = build(section("tyres"), VanClock(), TextTable(), 0)
    blocks: list[SampleBlock] = []
    source.run(blocks.append, threading.Event())
    assert [signal.unit for signal in source.signals()] == ["kPa"]
    assert source.simulated
    assert source.counters == {"reads": 3}  # type: ignore[attr-defined]
    assert [(b.slot.dtype, b.value.tolist()) for b in blocks] == [(np.int32, [2.5])]


def test_a_wrong_block_ends_the_plugin_before_the_pipeline_sees_it(installed: None) -> None:
    source = build(section("tyres", slots=[0, 5]), VanClock(), TextTable(), 0)
    blocks: list[SampleBlock] = []
    with pytest.raises(PluginError, match="slots 5 to 5 of 1 signals"):
        source.run(blocks.append, threading.Event())
    assert len(blocks) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [("tyre", "did you mean tyres"), ("broken", "no sensor bus"), ("gone", "nowhere"), ("", "installed: ")],
)
def test_a_plugin_that_cannot_be_made_is_told(installed: None, name: str, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        build(section(name), VanClock(), TextTable(), 0)


@pytest.mark.parametrize(
    ("slot", "t_ns", "value", "message"),
    [
        ([0], [1, 2], [1.0], "shapes"), ([[0]], [[1]], [[1.0]], "shapes"), ([-1], [1], [1.0], "slots -1"),
        ([0, 0], [2, 1], [1.0, 1.0], "descend"), ([0], [10**19 // 2], [1.0], "future"), ([0], [1], ["x"], "no block"),
    ],
)  # fmt: skip
def test_what_is_no_block_is_refused(slot: Any, t_ns: Any, value: Any, message: str) -> None:
    block = SampleBlock(np.array(slot), np.array(t_ns), np.array(value))
    with pytest.raises(PluginError, match=message):
        checked(block, 1, 10**9)
    with pytest.raises(PluginError, match="no block"):
        checked(None, 1, 0)  # type: ignore[arg-type]
