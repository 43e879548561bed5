"""vantel catalog: list, show, diff and lint catalogs.

CATALOG is builtin, an edge settings file (.toml), or a .catalog file of an agent's state directory. Exit codes: 0 done; 1 a
name is not there, catalogs differ, or lint found an error; 65 the catalog cannot be read.
"""

from __future__ import annotations

import fnmatch
import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from vantel.catalog import Catalog, CatalogError, Signal
from vantel_rig import catalogs
from vantel_rig.catalog_lint import lint as findings_of

app = typer.Typer(
    help="The signal catalog: list, show, diff, lint.", no_args_is_help=True, rich_markup_mode=None
)
_out = Console()
Reference = Annotated[str, typer.Option("--catalog", "-c", help="builtin, an edge .toml, or a .catalog file")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON for programs")]


def _load(reference: str) -> Catalog:
    try:
        return catalogs.load_catalog(reference)
    except (ValueError, OSError) as cause:
        typer.echo(f"vantel catalog: {cause}", err=True)
        raise typer.Exit(65) from None


def _name_column() -> Column:
    """Names are copied from the screen: they are broken, never cut."""
    return Column("signal", overflow="fold")


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2))


@app.command("list", epilog="Example: vantel catalog list '*Lidar*' --group adas --json")
def list_(
    patterns: Annotated[list[str] | None, typer.Argument(help="names, with * and ?; default: all")] = None,
    group: Annotated[str | None, typer.Option(help="only this group")] = None,
    unit: Annotated[str | None, typer.Option(help="only this unit, as VSS spells it")] = None,
    catalog: Reference = "builtin",
    as_json: AsJson = False,
) -> None:
    """List signals: id, name, type, unit, group."""
    wanted = patterns or ["*"]
    found = [
        signal
        for signal in _load(catalog)
        if any(fnmatch.fnmatchcase(signal.name.lower(), pattern.lower()) for pattern in wanted)
        and group in {None, signal.group}
        and unit in {None, signal.unit}
    ]
    if as_json:
        _print_json([catalogs.as_dict(signal) for signal in found])
    else:
        table = Table("id", _name_column(), "type", "unit", "group")
        for signal in found:
            table.add_row(str(signal.id), signal.name, signal.type.name.lower(), signal.unit, signal.group)
        _out.print(table)
        _out.print(f"{len(found)} signals")
    raise typer.Exit(0 if found else 1)


@app.command(epilog="Example: vantel catalog show Vehicle.Speed 1646")
def show(
    names: Annotated[list[str], typer.Argument(help="names or ids")],
    catalog: Reference = "builtin",
    as_json: AsJson = False,
) -> None:
    """Show all that is known of some signals, with what VSS says of them."""
    loaded = _load(catalog)
    found: list[Signal] = []
    try:
        found = [loaded.by_id(int(name)) if name.isdecimal() else loaded.by_name(name) for name in names]
    except CatalogError as cause:
        typer.echo(f"vantel catalog: {cause}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        _print_json([catalogs.as_dict(signal) for signal in found])
        return
    for signal in found:
        table = Table(show_header=False)
        for key, value in catalogs.as_dict(signal).items():
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            table.add_row(key, json.dumps(value) if isinstance(value, dict) else text)
        _out.print(table)


@app.command(epilog="Example: vantel catalog diff 3f0c...e1.catalog edge.toml")
def diff(
    before: Annotated[str, typer.Argument(help="builtin, an edge .toml, or a .catalog file")],
    after: Annotated[str, typer.Argument(help="the same")],
    as_json: AsJson = False,
) -> None:
    """Tell what two catalogs differ in; exit 1 when they do."""
    found = list(catalogs.differences(_load(before), _load(after)))
    if as_json:
        keys = ("name", "what", "before", "after")
        _print_json([{key: getattr(one, key) for key in keys} for one in found])
    else:
        table = Table(_name_column(), "what", "before", "after")
        for one in found:
            whole = one.what in {"added", "removed"}
            table.add_row(one.name, one.what, *("" if whole else str(x) for x in (one.before, one.after)))
        _out.print(table if found else "no difference")
    raise typer.Exit(1 if found else 0)


@app.command(epilog="Example: vantel catalog lint --catalog edge.toml")
def lint(catalog: Reference = "builtin", as_json: AsJson = False) -> None:
    """Find what makes values wrong or signals hard to use; exit 1 for an error, 0 for warnings alone."""
    loaded = _load(catalog)
    found = list(findings_of(loaded))
    errors = sum(one.level == "error" for one in found)
    if as_json:
        keys = ("level", "signal", "rule", "text")
        _print_json([{key: getattr(one, key) for key in keys} for one in found])
    else:
        table = Table("level", _name_column(), "rule", "what to do")
        for one in found:
            table.add_row(one.level, one.signal, one.rule, one.text)
        if found:
            _out.print(table)
        _out.print(f"{len(loaded)} signals, {errors} errors, {len(found) - errors} warnings")
    raise typer.Exit(1 if errors else 0)
