"""docs/signals.md made from the catalog, so that it cannot go stale.

python -m vantel_rig.signals_page > docs/signals.md
"""

from __future__ import annotations

import sys
from collections import defaultdict

from vantel.catalog import Signal, SignalType, builtin

HEAD = """\
# Signals

Every signal that Vantel knows by name: {count}, in {groups} groups. Made from the catalog (`python -m vantel_rig.signals_page`).
A group is a tag in InfluxDB, a name a field. An id never changes and is never used again. Bus signals without a
catalog name are called `channel.Message.Signal` and get ids of 65,536 and more, valid with the hash of their catalog.
What does not begin with `Vehicle.Robovan.` is of the COVESA Vehicle Signal Specification 6.0 (MPL-2.0, (c) Contributors to
COVESA); this page derives from it and stays under that licence.
"""


def signals_page() -> str:
    """Text of docs/signals.md."""
    groups: dict[str, list[Signal]] = defaultdict(list)
    for signal in builtin():
        groups[signal.group].append(signal)
    parts = [HEAD.format(count=len(builtin()), groups=len(groups))]
    for group in sorted(groups):
        rows = [row(signal) for signal in sorted(groups[group], key=lambda signal: signal.name)]
        parts.append(
            "\n".join(
                [
                    f"## {group}",
                    "",
                    "| id | name | type | unit | range | labels |",
                    "|---|---|---|---|---|---|",
                    *rows,
                ]
            )
        )
    return "\n\n".join(part.strip() for part in parts) + "\n"


def row(signal: Signal) -> str:
    """One line of a table."""
    low, high = signal.policy.min, signal.policy.max
    plausible = "" if low is None and high is None else f"{_number(low)} to {_number(high)}"
    labels = ", ".join(signal.labels) if signal.type is SignalType.ENUM else ""
    cells = (str(signal.id), f"`{signal.name}`", signal.type.name.lower(), signal.unit, plausible, labels)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _number(value: float | None) -> str:
    return "…" if value is None else f"{value:g}"


if __name__ == "__main__":
    sys.stdout.write(signals_page())
