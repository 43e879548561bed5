"""Goal: the set-up takes what the machine has only when it can be used, and names what it cannot get.

Method: setup.sh is sourced, which runs nothing, and its decisions are asked with a PATH of small stand-in programs
that print the versions in question. The whole set-up is what every run of ./test goes through first.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETUP = ROOT / "deploy/rig/setup.sh"


def ask(question: str, path: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs `question` with setup.sh's functions; `path` stands before the PATH, and nothing is unpacked here."""
    clean = {key: value for key, value in os.environ.items() if key not in {"JAVA_HOME", "VANTEL_PYTHON"}}
    clean["PATH"] = f"{path}:{clean['PATH']}" if path else clean["PATH"]
    script = f'source "{SETUP}"; servers=/nonexistent; set +e; {question}'
    return subprocess.run(
        ["bash", "-c", script], env={**clean, **env}, capture_output=True, text=True, timeout=240, check=False
    )


def program(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("name", "prints", "usable"),
    [
        ("mosquitto", "mosquitto version 2.0.11", True),
        ("mosquitto", "mosquitto version 2.1.2", True),
        ("mosquitto", "mosquitto version 2.0.9", False),
        ("mosquitto", "mosquitto version 1.6.12", False),
        ("mosquitto", "", False),
        ("influxd", "InfluxDB v1.6.7~rc0 (git: unknown unknown)", True),
        ("influxd", "InfluxDB v1.8.10 (git: 1.8 abc)", True),
        ("influxd", "InfluxDB v2.7.1 (git: abc) build_date: x", False),
        ("influxd", "InfluxDB v1.5.4 (git: 1.5 abc)", False),
        ("nginx", "", True),
    ],
)
def test_a_server_on_the_path_is_used_only_in_a_fitting_version(
    tmp_path: Path, name: str, prints: str, usable: bool
) -> None:
    program(tmp_path, name, f"echo '{prints}'")
    assert (ask(f"server_usable {name}", tmp_path).returncode == 0) is usable


def test_java_older_than_17_is_passed_over(tmp_path: Path) -> None:
    old = program(tmp_path / "old", "java", "echo 'openjdk version \"11.0.20\" 2023-07-18' >&2")
    new = program(tmp_path / "new/bin", "java", "echo 'openjdk version \"21.0.1\" 2023-10-17' >&2")
    assert ask("find_java", old.parent, JAVA_HOME=str(tmp_path / "new")).stdout == str(new)
    assert ask("find_java", old.parent).stdout != str(old)


def test_a_python_that_does_not_run_or_is_too_old_is_passed_over(tmp_path: Path) -> None:
    program(tmp_path, "python3", "echo 'pyenv: python3: command not found' >&2; exit 127")
    program(tmp_path, "python3.12", "exit 1")
    good = program(tmp_path, "python3.11", f'exec "{sys.executable}" "$@"')
    if sys.version_info < (3, 14):
        assert ask("find_python", tmp_path).stdout.strip() == str(good)
    assert ask("find_python", VANTEL_PYTHON=str(good)).stdout == str(good)
    bad = ask("find_python", VANTEL_PYTHON=str(tmp_path / "python3.12"))
    assert "is no Python of 3.10 or newer; name another or unset it" in bad.stderr


def test_a_package_that_cannot_be_installed_is_named_with_the_fix(tmp_path: Path) -> None:
    program(tmp_path, "apt-get", "exit 100")
    program(tmp_path, "sudo", "echo 'sudo: a password is required' >&2; exit 1")
    asked = ask(f'logs="{tmp_path}"; install_packages maven', tmp_path)
    assert asked.returncode == 1
    assert "apt-get could not install maven" in asked.stderr
    assert "apt-get install maven" in asked.stderr


def test_an_environment_made_from_other_versions_or_in_another_folder_is_made_anew(tmp_path: Path) -> None:
    program(tmp_path / "env/bin", "python", "exit 0")
    stamp = ask("venv_stamp").stdout
    (tmp_path / "env/.vantel-stamp").write_text(stamp)
    assert ask(f'venv_usable "{tmp_path}/env"').returncode == 0
    assert ask(f'here="{tmp_path}"; cp "$root/deploy/rig/constraints.txt" "$here"; echo x==1 >>"$here/constraints.txt"; '
               f'venv_usable "{tmp_path}/env"').returncode != 0  # fmt: skip
    (tmp_path / "env/.vantel-stamp").unlink()
    assert ask(f'venv_usable "{tmp_path}/env"').returncode != 0


@pytest.mark.parametrize("script", ["demo", "test", ".ci/run", "deploy/rig/setup.sh", "deploy/rig/lint.sh"])
def test_scripts_are_executable_and_parse(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    assert subprocess.run(["bash", "-n", ROOT / script], check=False).returncode == 0
