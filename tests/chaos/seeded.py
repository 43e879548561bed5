"""Goal: the suites are worth something: each of the bugs in tests/chaos/bugs turns the one that should see it red.

Method: a copy of the tree, one patch at a time, the suite that its second line names (`sim FIRST-LAST`: seeds of the
simulation; else tests for pytest); before the first patch every suite is green on the unpatched copy.

    .venv/bin/python -m tests.chaos.seeded --json bugs.json
    .venv/bin/python -m tests.chaos.seeded p0-not-synced no-resend

Exit codes: 0 all of them were caught and the unpatched copy is green, 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
BUGS = Path(__file__).with_name("bugs")
SUITE_S_MAX = 900.0


@dataclass(frozen=True)
class Bug:
    """A patch. what: the mistake in one line; suite: what must turn red."""

    name: str
    what: str
    suite: str

    @property
    def path(self) -> Path:
        """The patch file."""
        return BUGS / f"{self.name}.patch"


@dataclass(frozen=True)
class Finding:
    """A suite on a copy: red or green, and its last word."""

    bug: str
    suite: str
    red: bool
    word: str
    seconds: float


def bugs() -> list[Bug]:
    """All seeded bugs, by name."""
    found = []
    for path in sorted(BUGS.glob("*.patch")):
        what, red, *_ = path.read_text(encoding="utf-8").split("\n")
        found.append(Bug(path.stem, what, red.removeprefix("Red: ")))
    return found


def copy_tree(target: Path) -> None:
    """The tracked files as they are now, and a git repository around them, so that patches apply and revert.

    Kernels come along compiled: their cache goes by name, time and size of the source, and to make it anew takes minutes.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode().split("\0")  # fmt: skip
    for name in listed:
        source = ROOT / name
        if name and source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
            for kernel in (source.parent / "__pycache__").glob(f"{source.stem}.*.nb[ic]"):
                (target / name).parent.joinpath("__pycache__").mkdir(exist_ok=True)
                shutil.copy2(kernel, (target / name).parent / "__pycache__")
    subprocess.run(["git", "init", "-q"], cwd=target, check=True)


def apply(tree: Path, bug: Bug, *options: str) -> subprocess.CompletedProcess[str]:
    """git apply. A changed kernel takes all compiled ones with it, since Numba does not see what a kernel calls change."""
    text = bug.path.read_text(encoding="utf-8")
    patched = [tree / line.removeprefix("+++ b/") for line in text.splitlines() if line.startswith("+++ b/")]
    if "--check" not in options and any("njit" in path.read_text(encoding="utf-8") for path in patched):
        for kernel in tree.rglob("__pycache__/*.nb[ic]"):
            kernel.unlink()
    return subprocess.run(
        ["git", "apply", *options, str(bug.path)], cwd=tree, capture_output=True, text=True, check=False
    )


def run_suite(tree: Path, suite: str) -> tuple[bool, str]:
    """Run a suite on a copy; whether it is red, and its last word."""
    if suite.startswith("sim "):
        argv = ["-m", "vantel_rig", "sim", "--seeds", suite.removeprefix("sim ")]
    else:
        argv = [
            "-m",
            "pytest",
            "-n",
            "0",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "--no-header",
            *suite.split(),
        ]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(tree / part) for part in (".", "proto", "deploy/rig")),
        "VANTEL_LOCAL": str(ROOT / ".local"),
        "COLUMNS": "200",
    }
    try:
        done = subprocess.run(
            [sys.executable, *argv],
            cwd=tree,
            env=env,
            capture_output=True,
            text=True,
            timeout=SUITE_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True, f"not done after {SUITE_S_MAX:.0f} s"
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(("FAILED", "ERROR")) or " | " in line]
    return done.returncode != 0, (marked or lines or [""])[0 if marked else -1][:160]


def hunt(chosen: list[Bug], console: Console) -> list[Finding]:
    """The unpatched copy first, then each bug."""
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="vantel-bugs-") as folder:
        tree = Path(folder) / "tree"
        copy_tree(tree)

        def look(name: str, suite: str) -> None:
            started_s = time.perf_counter()
            red, word = run_suite(tree, suite)
            findings.append(Finding(name, suite, red, word, round(time.perf_counter() - started_s, 1)))
            console.print(
                f"{name}: {'red' if red else 'green'}: {word}", highlight=False, markup=False, soft_wrap=True
            )

        for suite in sorted({bug.suite for bug in chosen}):
            look("", suite)
        for bug in chosen:
            applied = apply(tree, bug)
            if applied.returncode:
                findings.append(
                    Finding(bug.name, bug.suite, False, f"does not apply: {applied.stderr.strip()}", 0.0)
                )
                continue
            look(bug.name, bug.suite)
            apply(tree, bug, "--reverse").check_returncode()
    return findings


def main() -> int:
    """Table on standard error, JSON into a file."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.seeded", description=(__doc__ or "").split("\n\n")[0],
        epilog="Example: python -m tests.chaos.seeded --json bugs.json",
    )  # fmt: skip
    parser.add_argument("names", nargs="*", help="only these bugs")
    parser.add_argument("--json", type=Path, help="write the findings here")
    args = parser.parse_args()
    console = Console(stderr=True)
    chosen = [bug for bug in bugs() if not args.names or bug.name in args.names]
    findings = hunt(chosen, console)
    green = [finding for finding in findings if not finding.bug]
    caught = [finding for finding in findings if finding.bug and finding.red]
    table = Table("bug", "suite", "seen", "first word", "s", box=box.SIMPLE)
    for finding in findings:
        seen = (
            ("RED" if finding.red else "green")
            if not finding.bug
            else ("caught" if finding.red else "MISSED")
        )
        table.add_row(
            finding.bug or "(none)", finding.suite, seen, finding.word[:80], f"{finding.seconds:.0f}"
        )
    console.print(table)
    well = not any(finding.red for finding in green) and len(caught) == len(chosen)
    console.print(
        f"{len(caught)} of {len(chosen)} bugs caught; unpatched: {sum(f.red for f in green)} suites red"
    )
    if args.json is not None:
        args.json.write_text(
            json.dumps(
                {"caught": len(caught), "bugs": len(chosen), "findings": [asdict(f) for f in findings]},
                indent=1,
            )
        )
    return int(not well)


if __name__ == "__main__":
    sys.exit(main())
