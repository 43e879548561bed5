"""The one error of files that a source reads: what cannot be used, and what to do about it."""

from __future__ import annotations

from pathlib import Path


class RecordingError(ValueError):
    """A recording or its DBC cannot be used. The text names file, line if known, cause and fix."""

    def __init__(
        self, path: Path, cause: str, fix: str, line: int | None = None, *, key: str | None = None
    ) -> None:
        """key: of the settings, when it is what the fix is about; the fix calls it {key}."""
        where = f"{path}" if line is None else f"{path}, line {line}"
        self._told = f"{where}: {cause}; "
        self._fix = fix
        self._key = key
        super().__init__(self._told + self._fix_by(f"{key} = in the settings"))

    def for_command(self) -> str:
        """The text for who gave an option, or the path, on a command line and has no settings."""
        return self._told + self._fix_by("the path" if self._key == "path" else f"--{self._key}")

    def _fix_by(self, name: str) -> str:
        return self._fix if self._key is None else self._fix.format(key=name)
