"""Where the programs of the local stack are: what setup.sh put into `.local/`, else what the PATH has.

From a program's name to the argument and environment that run it. A program out of `.local/servers` gets the
libraries that came with it on LD_LIBRARY_PATH. What is missing raises `ProcessError` naming the fix.
`VANTEL_LOCAL` moves `.local/`, for a rig that is not used from its own checkout.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from vantel_rig.process import ProcessError


@dataclass(frozen=True)
class Program:
    """A program and what must be laid over the environment to run it."""

    path: Path
    env: dict[str, str]


def local_dir() -> Path:
    """The folder of the fetched servers and of the run data."""
    named = os.environ.get("VANTEL_LOCAL")
    return Path(named) if named else Path(__file__).resolve().parents[3] / ".local"


def find_server(name: str) -> Program:
    """Mosquitto, influxd or nginx."""
    root = local_dir() / "servers" / name
    for folder in ("usr/sbin", "usr/bin"):
        path = root / folder / name
        if os.access(path, os.X_OK):
            libraries = [
                str(f) for f in (*sorted(root.glob("usr/lib/*-linux-*")), root / "usr/lib") if f.is_dir()
            ]
            inherited = os.environ.get("LD_LIBRARY_PATH")
            if inherited:
                libraries.append(inherited)
            return Program(path, {"LD_LIBRARY_PATH": ":".join(libraries)})
    found = shutil.which(name)
    if found is None:
        raise ProcessError(f"find {name}: neither in {root} nor on the PATH; run deploy/rig/setup.sh")
    return Program(Path(found), {})


def find_java() -> Program:
    """A Java runtime: JAVA_HOME, the PATH, then where Debian and Ubuntu install it."""
    homes = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    candidates = [home / "bin/java" for home in homes]
    on_path = shutil.which("java")
    if on_path:
        candidates.append(Path(on_path))
    candidates += [Path("/usr/bin/java"), *sorted(Path("/usr/lib/jvm").glob("*/bin/java"), reverse=True)]
    for path in candidates:
        if os.access(path, os.X_OK):
            return Program(path, {})
    raise ProcessError(
        "find java: not in JAVA_HOME, on the PATH or under /usr/lib/jvm; run deploy/rig/setup.sh"
    )


def kafka_libraries() -> Path:
    """The folder of Kafka's jar files."""
    path = local_dir() / "kafka" / "libs"
    if not path.is_dir():
        raise ProcessError(f"find Kafka: {path} is missing; run deploy/rig/setup.sh")
    return path
