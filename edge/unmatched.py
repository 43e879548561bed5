"""Signal names in the settings that fit no signal: a misspelt one would otherwise do nothing, in silence.

None of them stops the agent: one settings file may serve vans of several kinds, and signals of own processes are declared only
while the agent runs.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterator

from edge.settings import EdgeSettings
from vantel.catalog import Catalog


def unmatched(settings: EdgeSettings, catalog: Catalog) -> list[str]:
    """One line for each such name: the key, the name, and the nearest signal there is."""
    names = [signal.name for signal in catalog.signals]
    lower = {name.lower(): name for name in names}
    lines = []
    for key, name in _names(settings):
        if name.lower() not in lower:
            near = difflib.get_close_matches(name.lower(), lower, n=1)
            lines.append(_line(key, name, [lower[match] for match in near]))
    for at, rule in enumerate(settings.sampler.rules):
        for pattern in rule.signals:
            if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
                lines.append(
                    _line(f"sampler.rules[{at}]", pattern, difflib.get_close_matches(pattern, names, n=1))
                )
    return lines


def _names(settings: EdgeSettings) -> Iterator[tuple[str, str]]:
    for members in settings.detector.peers:
        yield from (("detector.peers", name) for name in members)
    yield from (("detector.muted", name) for name in settings.detector.muted)


def _line(key: str, name: str, near: list[str]) -> str:
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{key} names {name}, which no source here gives{hint}"
