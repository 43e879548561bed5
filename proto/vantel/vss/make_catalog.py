"""Makes catalog.csv, the built-in signals, from VSS and the overlay. Run by hand; the result is committed.

VSS csv (vspec export csv) + overlay.csv + the existing catalog.csv -> new catalog.csv. An id belongs to its name for
ever: existing rows keep theirs, a name that has gone keeps its row, a new name gets the next free id. Units as VSS
spells them. Overlay rows under a VSS name only set or replace limits. Exits with a message on a conflict.

    python proto/vantel/vss/make_catalog.py proto/vantel/vss/vss_6.0.csv.gz proto/vantel/vss/overlay.csv
"""

from __future__ import annotations

import ast
import csv
import gzip
import sys
from pathlib import Path

CATALOG = Path(__file__).with_name("catalog.csv")
COLUMNS = (
    "id", "name", "type", "unit", "min", "max", "rate_per_s_max", "stuck_s_max", "silence_s_max", "labels", "group",
    "comment",
)  # fmt: skip
LIMITS = COLUMNS[4:9]
TYPES = ("BOOL", "ENUM", "STRING", "INT64", "UINT64", "FLOAT32", "FLOAT64")
LOCAL_ID_FIRST = 65_536
GROUPS = {
    "acceleration": "motion",
    "angularvelocity": "motion",
    "driver": "occupant",
    "exterior": "vehicle",
    "lowvoltagebattery": "powertrain",
    "service": "diagnostics",
    "trailer": "vehicle",
    "vehicleidentification": "identification",
    "versionvss": "identification",
}
"""Small branches share a group: the group is a tag in the database, and the series count stays bounded."""

Row = dict[str, str]


def type_of(row: Row) -> tuple[str, str]:
    """Our type and the remark that goes with it."""
    vss = row["DataType"]
    if vss.endswith("[]") or vss == "string":
        return ("ENUM", "") if row["Allowed"] and vss == "string" else ("STRING", f"VSS {vss}")
    if vss == "boolean":
        return "BOOL", ""
    if vss in ("float", "double"):
        return "FLOAT64", f"VSS {vss}"
    if row["Unit"] and row["Type"] != "attribute":
        # the buses of real vans are finer than the whole units of VSS, and no bit of a value may get lost
        return "FLOAT64", f"VSS {vss}; kept at the resolution of the source"
    return ("UINT64" if vss.startswith("u") else "INT64"), f"VSS {vss}"


def vss_rows(path: Path) -> list[Row]:
    """Rows of catalog.csv, still without id, from the leaves of the VSS csv."""
    rows = []
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["Type"] == "branch":
                continue
            parts = row["Signal"].split(".")
            branch = parts[1].lower() if len(parts) > 2 else "vehicle"
            kind, remark = type_of(row)
            labels = "|".join(ast.literal_eval(row["Allowed"])) if kind == "ENUM" else ""
            if row["Deprecated"]:
                remark = "; ".join(filter(None, [remark, "deprecated in VSS"]))
            rows.append(
                dict.fromkeys(COLUMNS, "")
                | {
                    "name": row["Signal"],
                    "type": kind,
                    "unit": row["Unit"],
                    "min": row["Min"] if kind not in ("ENUM", "STRING", "BOOL") else "",
                    "max": row["Max"] if kind not in ("ENUM", "STRING", "BOOL") else "",
                    "labels": labels,
                    "group": GROUPS.get(branch, branch),
                    "comment": remark,
                }
            )
    return rows


def read_csv(path: Path) -> list[Row]:
    """Rows of an overlay or catalog, with every column present."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        return [dict.fromkeys(COLUMNS, "") | row for row in csv.DictReader(lines)]


def check(row: Row, seen: set[str]) -> None:
    """SystemExit for an overlay row that can be no signal, or that stands there twice; adds its name to seen."""
    if row["name"] in seen:
        raise SystemExit(f"overlay: {row['name']} stands there twice; remove one row")
    seen.add(row["name"])
    if row["type"] and row["type"] not in TYPES:
        raise SystemExit(f"overlay: {row['name']}: no type {row['type']}; known are {', '.join(TYPES)}")
    try:
        limits = {name: float(row[name]) for name in LIMITS if row[name]}
    except ValueError as cause:
        raise SystemExit(f"overlay: {row['name']}: {cause}; a limit is a number or empty") from None
    if limits.get("min", float("-inf")) > limits.get("max", float("inf")):
        raise SystemExit(f"overlay: {row['name']}: min {row['min']} is above max {row['max']}")


def merged(base: list[Row], overlay: list[Row]) -> dict[str, Row]:
    """Rows by name: the overlay adds names and sets limits of names that are already there."""
    rows = {row["name"]: row for row in base}
    seen: set[str] = set()
    for row in overlay:
        check(row, seen)
        known = rows.get(row["name"])
        if known is None:
            if not row["type"]:
                raise SystemExit(f"overlay: {row['name']} is not in VSS and has no type")
            rows[row["name"]] = row
            continue
        if row["type"] or row["unit"] or row["labels"] or row["group"]:
            raise SystemExit(f"overlay: {row['name']} is in VSS; only limits and comment may be set")
        known.update({name: row[name] for name in LIMITS if row[name]})
        known["comment"] = "; ".join(filter(None, [known["comment"], row["comment"]]))
    return rows


def numbered(rows: dict[str, Row], existing: list[Row]) -> list[Row]:
    """All rows with ids: known names keep theirs, also when the name has gone, new names get the next ones."""
    ids = {row["name"]: int(row["id"]) for row in existing}
    for row in existing:
        if row["name"] not in rows:
            rows[row["name"]] = row
        elif rows[row["name"]]["type"] != row["type"]:
            raise SystemExit(f"{row['name']}: type {row['type']} must not become {rows[row['name']]['type']}")
    first_free = max(ids.values(), default=0) + 1
    new = [name for name in rows if name not in ids]
    ids.update({name: first_free + at for at, name in enumerate(new)})
    if max(ids.values()) >= LOCAL_ID_FIRST:
        raise SystemExit(
            f"more than {LOCAL_ID_FIRST - 1} ids: the rest belongs to the local signals of a van"
        )
    return sorted(
        (row | {"id": str(ids[name])} for name, row in rows.items()), key=lambda row: int(row["id"])
    )


def main(arguments: list[str]) -> None:
    """Write catalog.csv beside this file."""
    if len(arguments) != 2:
        raise SystemExit(__doc__)
    overlay = read_csv(Path(arguments[1]))
    rows = numbered(merged(vss_rows(Path(arguments[0])), overlay), read_csv(CATALOG))
    with CATALOG.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: row[name] for name in COLUMNS} for row in rows)


if __name__ == "__main__":
    main(sys.argv[1:])
