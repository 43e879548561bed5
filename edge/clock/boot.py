"""Which boot of the kernel this is: monotonic time means something only together with it."""

from __future__ import annotations

from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_text() -> str:
    """The kernel's id of this boot as it spells it, "" where there is none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def boot_bytes(text: str) -> bytes:
    """The same as 16 bytes, as clock stamps bear it; zeros where there is none."""
    try:
        return bytes.fromhex(text.replace("-", "")).rjust(16, b"\0")
    except ValueError:
        return bytes(16)
