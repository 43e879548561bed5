"""A clip as MCAP, which Foxglove and PlotJuggler open: samples as JSON messages, and what is needed to read them.

One topic for each prefix of names, one message for each of its times; labels as text. Attachments: the catalog as JSON,
each campaign as JSON, the DBC files. Metadata "vantel": van, capture, triggers, state, gaps. The only file of the van that
knows `mcap`.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from mcap.writer import Writer

from edge.capture import clip_file
from vantel import codec
from vantel.captures import CapturePart, CaptureSummary
from vantel.catalog import Catalog, Signal, SignalType
from vantel.identity import PayloadKind
from vantel.telemetry.v1 import catalog_pb2, downlink_pb2

Messages = dict[tuple[int, str], dict[str, Any]]


@dataclass(slots=True)
class Content:
    """What a clip holds. parts: each with what is added to its times to give Unix ns. offset_ns: the same for the summary."""

    catalog: Catalog | None = None
    encoded_catalog: bytes = b""
    offset_ns: int = 0
    campaigns: list[bytes] = field(default_factory=list)
    summary: CaptureSummary | None = None
    parts: list[tuple[int, CapturePart]] = field(default_factory=list)


def content_of(path: Path) -> Content:
    """Read a clip. ValueError when it is none, OSError as it comes."""
    found = Content()
    for kind, payload in clip_file.read(path):
        if kind == clip_file.CATALOG:
            found.catalog, found.encoded_catalog = Catalog.decode(payload), payload
        elif kind == clip_file.CLOCK:
            found.offset_ns = clip_file.clock_of(payload).offset_ns
        elif kind == clip_file.CAMPAIGN:
            found.campaigns.append(payload)
        elif kind == PayloadKind.CAPTURE_SUMMARY:
            found.summary = CaptureSummary.decode(payload)
        elif kind == PayloadKind.CAPTURE_PART:
            found.parts.append((found.offset_ns, CapturePart.decode(payload)))
    if found.catalog is None or found.summary is None:
        raise ValueError(f"{path} is no capture")
    return found


def export(path: Path, out: Path, van: str, dbc: Sequence[Path]) -> int:
    """Write a clip as MCAP; how many messages. ValueError, OSError."""
    content = content_of(path)
    assert content.catalog is not None
    assert content.summary is not None
    messages = _messages(content, content.catalog)
    with out.open("wb") as file:
        writer = Writer(file)
        writer.start(profile="", library="vantel")
        _attach(writer, content, dbc)
        summary = content.summary
        triggers = ", ".join(
            f"{t.campaign or 'command'} {t.version} at {t.t_mono_ns + content.offset_ns}"
            for t in summary.triggers
        )
        told = {"van": van, "capture": summary.capture_id, "state": summary.state.name.lower(), "triggers": triggers,
                "start_unix_ns": str(summary.start_mono_ns + content.offset_ns),
                "end_unix_ns": str(summary.end_mono_ns + content.offset_ns),
                "gaps": ", ".join(f"{gap.reason} {gap.start_mono_ns + content.offset_ns} to {gap.end_mono_ns + content.offset_ns}" for gap in summary.gaps)}  # fmt: skip
        writer.add_metadata("vantel", told)
        channels: dict[str, int] = {}
        for (t_ns, topic), values in sorted(messages.items()):
            if topic not in channels:
                schema = writer.register_schema(
                    f"vantel.{topic}", "jsonschema", _schema(content.catalog, topic)
                )
                channels[topic] = writer.register_channel(f"/{topic.replace('.', '/')}", "json", schema)
            writer.add_message(channels[topic], t_ns, json.dumps(values).encode(), t_ns)
        writer.finish()
    return len(messages)


def _messages(content: Content, catalog: Catalog) -> Messages:
    """Values by (Unix ns, topic)."""
    found: Messages = defaultdict(dict)
    for offset_ns, part in content.parts:
        for column in codec.decode(part.batch.columns):
            signal = catalog.by_id(column.signal_id)
            topic, _, leaf = signal.name.rpartition(".")
            for t_ns, value in zip(column.t_ns.tolist(), column.values.tolist(), strict=True):
                found[t_ns + offset_ns, topic][leaf] = _plain(signal, value)
    return found


def _plain(signal: Signal, value: Any) -> Any:
    if signal.type is SignalType.ENUM and 0 <= int(value) < len(signal.labels):
        return signal.labels[int(value)]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has neither NaN nor infinities
    return value


def _schema(catalog: Catalog, topic: str) -> bytes:
    kinds = {SignalType.BOOL: "boolean", SignalType.ENUM: "string", SignalType.STRING: "string"}
    properties = {
        signal.name.rpartition(".")[2]: {"type": kinds.get(signal.type, "number"), "description": signal.unit}
        for signal in catalog.signals
        if signal.name.rpartition(".")[0] == topic
    }
    return json.dumps({"type": "object", "properties": properties}).encode()


def _attach(writer: Writer, content: Content, dbc: Sequence[Path]) -> None:
    catalog = json_format.MessageToJson(catalog_pb2.Catalog.FromString(content.encoded_catalog))
    texts = {"catalog.json": catalog.encode()}
    for data in content.campaigns:
        campaign = downlink_pb2.Campaign.FromString(data)
        texts[f"campaign-{campaign.name}.json"] = json_format.MessageToJson(campaign).encode()
    for name, data in texts.items():
        writer.add_attachment(0, 0, name, "application/json", data)
    for path in dbc:
        writer.add_attachment(0, 0, path.name, "application/x-dbc", path.read_bytes())
