"""Small files of the kernel (sysfs, procfs) as text and numbers, and a counter for every one that is not what it should be.

text() and number() give None for a file that is absent, unreadable (no permission, or the driver has nothing to say) or odd
(no number, or one that cannot be meant) and count it as file_<reason>:<path below the root>. A root other than / is a tree
copied from another board.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

FILE_BYTES_MAX = 4096
COUNTED_FILES_MAX = 512
"""More files than this are counted together."""
_NUMBER = re.compile(r"[-+]?\d{1,19}")


class BoardFiles:
    """Files below a root."""

    def __init__(self, root: Path, counts: Counter[str]) -> None:
        self._root = root
        self._counts = counts

    def glob(self, pattern: str) -> list[Path]:
        """Paths below the root that fit, hwmon2 before hwmon10; none where the folder cannot be read."""
        return self.inside(self._root, pattern)

    def inside(self, folder: Path, pattern: str) -> list[Path]:
        """The same below a folder."""
        try:
            found = list(folder.glob(pattern))
        except OSError:
            return []
        return sorted(
            found, key=lambda path: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", str(path))]
        )

    def text(self, path: Path | str, *, bytes_max: int = FILE_BYTES_MAX) -> str | None:
        """The text without blanks and zero bytes at its ends."""
        path = self._root / path
        try:
            with path.open("rb", buffering=0) as file:
                text = (file.read(bytes_max) or b"").decode("utf-8", "replace").strip(" \t\r\n\0")
        except FileNotFoundError:
            return self._missed("absent", path)
        except OSError:
            return self._missed("unreadable", path)
        return text or self._missed("odd", path)

    def number(self, path: Path | str, low: float, high: float) -> float | None:
        """A whole number between low and high."""
        text = self.text(path)
        if text is None:
            return None
        if _NUMBER.fullmatch(text) is None or not low <= int(text) <= high:
            return self._missed("odd", self._root / path)
        return float(int(text))

    def odd(self, path: Path | str) -> None:
        """Count a file whose text the caller cannot use."""
        self._missed("odd", self._root / path)

    def _missed(self, reason: str, path: Path) -> None:
        key = f"file_{reason}:{path.relative_to(self._root)}"
        if (
            key not in self._counts
            and sum(name.startswith("file_") for name in self._counts) >= COUNTED_FILES_MAX
        ):
            key = f"file_{reason}:others"
        self._counts[key] += 1
