"""A status as people read it: what needs somebody first, then every figure that is not zero, with its unit.

Pairs of dotted names and values of `edge.status.file` -> a table, and lines of what is wrong. Names stay those of the JSON,
for the manual speaks of them; the unit of a value is read off the end of its name. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from rich import filesize
from rich.table import Table

TOLD_ABOVE = frozenset({"van", "t_unix_s", "connected", "failure", "spool_degraded"})
"""What title and problems say."""


def problems_of(status: Mapping[str, Any], age_s: float, fresh: bool) -> list[str]:
    """What is wrong, worst first; the age of a status that is not fresh says that nobody writes it any more."""
    found = []
    if not fresh:
        found.append(f"the agent does not run, or hangs: its last word is {age_s:.0f} s old")
    if status.get("failure"):
        found.append(f"the agent failed: {status['failure']}")
    if status.get("spool_degraded"):
        found.append(f"the spool: {status['spool_degraded']}")
    if fresh and not status.get("connected"):
        found.append("no connection to the broker; vantel-edge check --broker says why")
    return found


def table_of(title: str, pairs: Iterable[tuple[str, Any]]) -> Table:
    """Name and value of each figure; what is zero or empty is counted below, and not shown."""
    table = Table(title=title, show_header=False, box=None)
    table.add_column(no_wrap=True)
    table.add_column(justify="right")
    left_out = 0
    for name, value in pairs:
        if name in TOLD_ABOVE:
            continue
        if value in (0, "", None) or value in ([], {}):
            left_out += 1
        else:
            table.add_row(name, text_of(name, value))
    table.caption = f"and {left_out} that are 0 or empty; --json has all" if left_out else None
    return table


def text_of(name: str, value: Any) -> str:
    """A value with the unit that its name ends with."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if not isinstance(value, (int, float)):
        return str(value)
    words = name.replace(".", "_").split("_")
    if name.endswith("unix_ns"):
        return datetime.fromtimestamp(value / 1e9, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    if "bytes" in words:
        return filesize.decimal(int(value))
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.6g}"
