"""Clocks and loads of a board: processors, GPU, VIC, and the power mode of Jetsons.

cpufreq in kHz (Documentation/admin-guide/pm/cpufreq.rst), devfreq in Hz, the GPU's load in thousandths (NVIDIA's driver of
Orin; Thor has none). A GPU is known by its node in the device tree: ga10b on Orin, gpu-gpc-0 on Thor. The power mode is the number
that nvpmodel wrote, with its name where nvpmodel.conf tells it.
"""

from __future__ import annotations

import re

from edge.sources.board_files import BoardFiles
from edge.sources.board_names import BOARD, board_name

HERTZ_MAX = 20 * 10**9
CORES_MAX = 64
CONF_BYTES_MAX = 256 * 1024
MODE_FILE, MODE_NAMES = "var/lib/nvpmodel/status", "etc/nvpmodel.conf"
_BLOCKS = (
    (re.compile(r"gpu-gpc-0|gpu|gv11b|gp10b|ga10b|.*\.(gpu|ga10b|gv11b|gp10b)"), "GPU"),
    (re.compile(r"vic|.*\.vic"), "VIC"),
)
_MODE = re.compile(r"pmode:(\d{1,4})")
_MODE_NAME = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>")


def clocks(files: BoardFiles, source: str) -> dict[str, float]:
    """Hz of each core, Hz and percent of GPU and VIC."""
    found: dict[str, float] = {}
    for path in files.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")[:CORES_MAX]:
        core = path.parts[-3].removeprefix("cpu")
        if (kilohertz := files.number(path, 0, HERTZ_MAX // 1000)) is not None:
            found[board_name(source, f"CPU{core}.Frequency")] = kilohertz * 1000.0
    for device in files.glob("sys/class/devfreq/*"):
        nodes = files.inside(device, "device/of_node/name")
        node = (files.text(nodes[0]) if nodes else None) or device.name
        block = next((name for pattern, name in _BLOCKS if pattern.fullmatch(node)), None)
        if block is None:
            continue
        if (hertz := files.number(device / "cur_freq", 0, HERTZ_MAX)) is not None:
            found[board_name(source, f"{block}.Frequency")] = hertz
        if files.inside(device, "device/load"):
            load = files.number(device / "device/load", 0, 1000)
            if load is not None:
                found[board_name(source, f"{block}.Utilization")] = load / 10.0
    return found


def power_mode(files: BoardFiles) -> dict[str, float | str]:
    """What nvpmodel has set, as "MAXN" or "2"; nothing on a board without it."""
    if not files.glob("var/lib/nvpmodel"):
        return {}
    text = files.text(MODE_FILE)
    if text is None:
        return {}
    match = _MODE.search(text)
    if match is None:
        files.odd(MODE_FILE)
        return {}
    number = int(match.group(1))
    names = dict(_MODE_NAME.findall(files.text(MODE_NAMES, bytes_max=CONF_BYTES_MAX) or ""))
    return {f"{BOARD}PowerMode": names.get(str(number), str(number))}
