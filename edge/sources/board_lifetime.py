"""Wear of the disk and the reason of the last start.

eMMC: life_time in steps of 10 % (JEDEC JESD84-B51, EXT_CSD DEVICE_LIFE_TIME_EST); UFS: health_descriptor (JESD220), the same
steps. NVMe tells it only to root. Reason: records of a crash in pstore, a reset by the watchdog (WDIOF_CARDRESET of
linux/watchdog.h), else what the power management controller of a Tegra says.
"""

from __future__ import annotations

import re

from edge.sources.board_files import BoardFiles
from edge.sources.board_names import BOARD

STEPS_MAX = 11
"""0x0B: beyond what the maker estimated."""
WATCHDOG_RESET = 0x20
EMMC, UFS = (
    "sys/block/mmcblk*/device/life_time",
    "sys/bus/platform/drivers/*ufs*/*/health_descriptor/life_time_estimation_[ab]",
)
_STEPS = re.compile(r"0x([0-9a-fA-F]{1,2})")


def disk_wear(files: BoardFiles) -> dict[str, float]:
    """Percent of the estimated life that is used, at most; the worst area of the first disk that tells it."""
    for pattern in (EMMC, UFS):
        steps: list[int] = []
        for path in files.glob(pattern):
            text = files.text(path)
            if text is None:
                continue
            read = [int(step, 16) for step in _STEPS.findall(text)]
            if not read or not all(0 <= step <= STEPS_MAX for step in read):
                files.odd(path)
            elif any(read):  # 0 is "not defined"
                steps.append(max(read))
        if steps:
            return {f"{BOARD}Disk.LifeUsed": max(steps) * 10.0}
    return {}


def boot_reason(files: BoardFiles) -> dict[str, float | str]:
    """Why the board started: kernel_crash, watchdog, or the words of its controller."""
    if files.glob("sys/fs/pstore/dmesg-*"):
        return {f"{BOARD}BootReason": "kernel_crash"}
    for path in files.glob("sys/class/watchdog/watchdog*/bootstatus"):
        status = files.number(path, 0, 1 << 32)
        if status is not None and int(status) & WATCHDOG_RESET:
            return {f"{BOARD}BootReason": "watchdog"}
    for path in [
        *files.glob("sys/devices/platform/*.pmc/reset_reason"),
        *files.glob("sys/devices/platform/*/*.pmc/reset_reason"),
    ]:
        if (reason := files.text(path)) is not None:
            return {f"{BOARD}BootReason": reason[:64]}
    return {}
