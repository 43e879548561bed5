"""Who owns which import name, and what each extra brings.

Goal: the wheel holds the generated code and the catalog, imports the names we mean, and the van runs with [edge] alone.
Method: a wheel built from the tree; an environment of its own for each extra, every module of the side imported in it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)],
        check=True,
        timeout=300,
    )
    return next(folder.glob("vantel-*.whl"))


@pytest.mark.once
def test_wheel_holds_generated_code_and_catalog(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "vantel/telemetry/v1/envelope_pb2.py",
        "vantel/vss/catalog.csv",
        "vantel/vss/LICENSE-MPL-2.0.txt",
        "edge/agent.py",
        "cloud/worker/worker.py",
        "vantel_rig/stack.py",
    ):
        assert wanted in names
    assert not [name for name in names if name.startswith(("proto/", "google/", "tests/"))]


@pytest.mark.parametrize(
    ("extra", "package", "absent"), [("edge", "edge", "faust"), ("cloud", "cloud", "cantools")]
)
@pytest.mark.once
@pytest.mark.timeout(1100)
def test_one_extra_is_enough_for_its_side(
    wheel: Path, tmp_path: Path, extra: str, package: str, absent: str
) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    constraints = ROOT / "deploy" / "rig" / "constraints.txt"
    # what is imported below compiles itself; the hundreds of modules that are not need no bytecode
    subprocess.run(
        [
            str(python),
            "-m",
            "pip",
            "install",
            "-q",
            "--no-compile",
            "-c",
            str(constraints),
            f"{wheel}[{extra}]",
        ],
        check=True,
        timeout=500,
    )
    script = (
        "import importlib, importlib.util, pkgutil\n"
        f"import {package}\n"
        f"for module in pkgutil.walk_packages({package}.__path__, '{package}.'):\n"
        "    importlib.import_module(module.name)\n"
        f"assert importlib.util.find_spec('{absent}') is None\n"
    )
    # imports are what is asked here; to compile every kernel in a fresh environment takes minutes on a busy machine
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([str(python), "-c", script], check=True, timeout=500, cwd=tmp_path, env=environment)
