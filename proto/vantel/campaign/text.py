"""A campaign as people write it: TOML -> Campaign. Unknown keys and wrong types are told with the key and the fix.

Times as vantel.instant reads them; signals as names or as tables with name, period_s_min, deadband,
silence_s_max, error_bound. The version stands in the file and rises with each change of it.
"""

from __future__ import annotations

import difflib
import sys
from dataclasses import fields
from datetime import datetime
from typing import Any

from vantel.campaign.document import Campaign, Collected, Network
from vantel.campaign.limits import CampaignError
from vantel.instant import unix_ns, unix_ns_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_NAMES = {"start_unix_ns": "start", "end_unix_ns": "end"}
_TEXTS = ("name", "condition", "purpose")
_WHOLE = ("version", "bytes_per_day_max", "priority")
_REQUIRED = ("name", "version", "signals", "before_s", "after_s", "bytes_per_day_max")


def campaign_of(text: str) -> Campaign:
    """The campaign of a TOML text, checked. CampaignError("malformed" or another reason) says what to mend."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as cause:
        raise CampaignError("malformed", f"not TOML: {cause}") from None
    known = [_NAMES.get(field.name, field.name) for field in fields(Campaign)]
    for key in tree:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise CampaignError(
                "malformed", f"unknown key {key}" + (f"; did you mean {near[0]}?" if near else "")
            )
    missing = [key for key in _REQUIRED if key not in tree]
    if missing:
        raise CampaignError("malformed", f"missing: {', '.join(missing)}")
    values: dict[str, Any] = {"condition": ""}
    for field in fields(Campaign):
        key = _NAMES.get(field.name, field.name)
        if key in tree:
            values[field.name] = _value(key, tree[key])
    return Campaign(**values).check()


def _value(key: str, given: Any) -> Any:
    if key in ("start", "end"):
        return _time(key, given)
    if key == "signals":
        if not isinstance(given, list):
            raise CampaignError("malformed", f"signals: give a list, not {given!r}")
        return tuple(_collected(item) for item in given)
    if key == "network":
        try:
            return Network[str(given).upper()]
        except KeyError:
            raise CampaignError("malformed", f"network: any or unmetered, not {given!r}") from None
    wanted: tuple[type, ...] = (str,) if key in _TEXTS else (bool,) if key == "repeat" else (int, float)
    if key in _WHOLE:
        wanted = (int,)
    fits = isinstance(given, wanted)  # a name of its own: the checker would narrow the value to object
    if not fits or (isinstance(given, bool) and key != "repeat"):
        raise CampaignError("malformed", f"{key}: {given!r} is no {wanted[0].__name__}")
    return float(given) if wanted == (int, float) else given


def _collected(given: Any) -> Collected:
    table: dict[str, Any] = {"name": given} if isinstance(given, str) else given
    known = {field.name for field in fields(Collected)}
    if not isinstance(table, dict) or "name" not in table or set(table) - known:
        raise CampaignError(
            "malformed", f"signals: {given!r} is no name and no table of {', '.join(sorted(known))}"
        )
    try:
        numbers = {str(key): float(table[key]) for key in table if key != "name"}
    except (TypeError, ValueError):
        raise CampaignError("malformed", f"signals: {given!r}: only name is a text") from None
    return Collected(str(table["name"]), **numbers)


def _time(key: str, given: Any) -> int:
    try:
        if isinstance(given, datetime):
            return unix_ns_of(given)
        if isinstance(given, int | float | str) and not isinstance(given, bool):
            return unix_ns(str(given))
    except (ValueError, OverflowError) as cause:
        raise CampaignError("malformed", f"{key}: {cause}") from None
    raise CampaignError("malformed", f"{key}: {given!r} is no time, as 2026-12-01T08:00:00Z")
