"""The one error of files that a source reads: what cannot be used, and what to do about it."""

from __future__ import annotations

from pathlib import Path


class RecordingError(ValueError):
    """A recording or its DBC cannot be used. The text names file, line if known, cause and fix."""

    def __init__(self, path: Path, cause: str, fix: str, line: int | None = None) -> None:
        where = f"{path}" if line is None else f"{path}, line {line}"
        super().__init__(f"{where}: {cause}; {fix}")
