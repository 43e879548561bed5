"""House rules as tests.

Goal: what docs and reviews would otherwise have to repeat: module sizes, names, banned words, no machine paths.
Method: read every tracked source file as text or syntax tree.
"""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
LINES_MAX = 400
FUNCTION_LINES_MAX = 60
BANNED_NAMES = ("util", "utils", "helpers", "helper", "common", "manager", "engine", "handler", "misc")
LONGER_FUNCTIONS: dict[str, str] = {}
"""file:function -> why it may be longer than a screen."""


def sources() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    return [ROOT / name for name in listed if not name.endswith("_pb2.py") and (ROOT / name).exists()]


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_module_follows_the_house_rules(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    name = str(path.relative_to(ROOT))
    assert text.count("\n") <= LINES_MAX, f"{name} is longer than {LINES_MAX} lines: split it by duty"
    if text.strip():
        assert ast.get_docstring(tree), f"{name} has no module docstring"
    assert not set(path.relative_to(ROOT).with_suffix("").parts) & set(BANNED_NAMES), (
        f"{name}: name says nothing"
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            assert not re.search(r"(Manager|Helper|Handler|Util|Engine)$", node.name), (
                f"{name}: class {node.name}"
            )
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not name.startswith("tests/"):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            excused = f"{name}:{node.name}" in LONGER_FUNCTIONS
            assert length <= FUNCTION_LINES_MAX or excused, f"{name}: {node.name} has {length} lines"


def test_no_path_of_a_machine_in_tracked_text() -> None:
    found = subprocess.run(
        ["git", "grep", "-nIE", r"/(root|work|farm)/|/home/[a-z]", "--", ".", ":!tests/data", ":!tests/test_tidy.py"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stdout == "", f"a path of one machine:\n{found.stdout}"


def test_no_unfinished_work_in_sources() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError|MagicMock|unittest\.mock)\b")
    for path in sources():
        if path.name != "test_tidy.py":
            found = marks.search(path.read_text(encoding="utf-8"))
            assert found is None, f"{path.relative_to(ROOT)}: {found.group() if found else ''}"
