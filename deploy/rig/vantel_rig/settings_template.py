"""Complete, commented settings files made from the settings themselves, so that they cannot go stale.

    python -m vantel_rig.settings_template edge > deploy/edge/edge.toml

A key with a default stands commented out with that default; a key that must be given stands with an example.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cloud.settings import CloudSettings
from edge.settings import (
    CanSource,
    EdgeSettings,
    FaultSection,
    ReplaySource,
    SamplerRule,
    SourceSection,
)
from edge.settings.sources import PollRequest, PollSection

EDGE_HEAD = """\
# Settings of vantel-edge. Every key is here; what is commented out is the default.
# Any key can be set by environment: VANTEL_EDGE__SPOOL__BYTES_MAX=1000000000. `vantel-edge check` explains mistakes.
"""
CLOUD_HEAD = """\
# Settings of vantel-cloud. Every key is here; what is commented out is the default.
# Any key can be set by environment: VANTEL_CLOUD__INFLUX__URL=https://influx.example.org
"""
EXAMPLES = {"device": "lsm6dso"}
"""For keys of sources that have no default."""
REQUIRED = {"id": "van-001", "path": "drive.log", "signal": "Vehicle.Speed", "kind": "spike"}


def section_lines(model: type[BaseModel], required: dict[str, Any]) -> Iterator[str]:
    """A line for each key of a section: live with its example, or commented with its default."""
    for name, field in model.model_fields.items():
        if name in {"recordings", "rules", "poll", "requests"}:
            continue
        comment = f"  # {field.description}" if field.description else ""
        default = field.get_default(call_default_factory=True)
        if name in required:
            yield f"{_one_line(name, required[name])}{comment}"
        elif default is None:
            yield f"# {name} ={_kind_of(field)}{comment}"
        else:
            yield f"# {_one_line(name, default)}{comment}"


def _one_line(name: str, value: Any) -> str:
    plain = str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
    if isinstance(plain, list):
        return f"{name} = {json.dumps(plain)}"
    return f"{name} = {{}}" if plain == {} else tomli_w.dumps({name: plain}).strip()


def _kind_of(field: FieldInfo) -> str:
    text = str(field.annotation)
    return ' ""' if "str" in text or "Path" in text else " 0" if "int" in text else " 0.0"


def edge_template() -> str:
    """Text of deploy/edge/edge.toml."""
    parts = [EDGE_HEAD]
    for name, field in EdgeSettings.model_fields.items():
        if name == "sources":
            for at, model in enumerate(_source_models()):
                kind = model.model_fields["kind"].annotation.__args__[0]  # type: ignore[union-attr]
                lines = list(section_lines(model, {**EXAMPLES, "kind": kind}))
                parts.append(
                    "\n".join(["[[sources]]", *lines] if at == 0 else ["# [[sources]]", *_off(lines)])
                )
                if model is CanSource:
                    parts.append("\n".join(["# [sources.poll]", *_off(section_lines(PollSection, {}))]))
                    asked = section_lines(PollRequest, {"did": 0xF190})
                    parts.append("\n".join(["# [[sources.poll.requests]]", *_off(asked)]))
                if model is ReplaySource:
                    recording = model.model_fields["recordings"].annotation.__args__[0]  # type: ignore[union-attr]
                    parts.append(
                        "\n".join(["# [[sources.recordings]]", *_off(section_lines(recording, REQUIRED))])
                    )
        elif name == "faults":
            parts.append("\n".join(["# [[faults]]", *_off(section_lines(FaultSection, REQUIRED))]))
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            parts.append(
                "\n".join(
                    [
                        f"[{name}]",
                        *section_lines(field.annotation, {"id": "van-001"} if name == "van" else {}),
                    ]
                )
            )
            if name == "sampler":
                rule = {"signals": ["Vehicle.Speed"]}
                parts.append("\n".join(["# [[sampler.rules]]", *_off(section_lines(SamplerRule, rule))]))
        else:
            parts.insert(1, f"# {name} ={_kind_of(field)}  # {field.description}")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def cloud_template() -> str:
    """Text of deploy/cloud/cloud.toml."""
    parts = [CLOUD_HEAD]
    for name, field in CloudSettings.model_fields.items():
        assert isinstance(field.annotation, type)
        parts.append("\n".join([f"[{name}]", *section_lines(field.annotation, {})]))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _off(lines: Iterator[str] | list[str]) -> list[str]:
    return [line if line.startswith("#") else f"# {line}" for line in lines]


def _source_models() -> list[type[BaseModel]]:
    union = SourceSection.__origin__  # type: ignore[attr-defined]
    models = list(union.__args__)
    return sorted(models, key=lambda m: m.model_fields["kind"].annotation.__args__[0] != "system")


if __name__ == "__main__":
    sys.stdout.write({"edge": edge_template, "cloud": cloud_template}[sys.argv[1]]())
