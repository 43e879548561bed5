"""All settings of the agent: one frozen tree, read once in __main__ (see edge.settings.tree)."""

from __future__ import annotations

from edge.settings.detector import DetectorSection
from edge.settings.receivers import GnssSource, ImuSource, ModemSource, UnitsSource
from edge.settings.sources import (
    CanSource,
    ProbeSource,
    RecordingSection,
    ReplaySource,
    SignalMap,
    SourceSection,
    SyntheticSource,
    SystemSource,
)
from edge.settings.tree import (
    BatchSection,
    CaptureSection,
    ClockSection,
    EdgeSettings,
    FaultSection,
    LogSection,
    MqttSection,
    RingSection,
    SamplerRule,
    SamplerSection,
    SettingsError,
    SpoolSection,
    UplinkSection,
    VanSection,
    load,
)

__all__ = [
    "BatchSection",
    "CanSource",
    "CaptureSection",
    "ClockSection",
    "DetectorSection",
    "EdgeSettings",
    "FaultSection",
    "GnssSource",
    "ImuSource",
    "LogSection",
    "ModemSource",
    "MqttSection",
    "ProbeSource",
    "RecordingSection",
    "ReplaySource",
    "RingSection",
    "SamplerRule",
    "SamplerSection",
    "SettingsError",
    "SignalMap",
    "SourceSection",
    "SpoolSection",
    "SyntheticSource",
    "SystemSource",
    "UnitsSource",
    "UplinkSection",
    "VanSection",
    "load",
]
