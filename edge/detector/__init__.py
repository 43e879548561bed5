"""The detector: guards, nine statistical channels a signal, peers; causal, calibrated, without training.

For the agent: SampleBlocks of one stream -> vantel.payloads.Event; times in monotonic ns, values in the unit of the
signal. As a library: make_stream() for one series, make_group() for many. Channels and what they cannot see:
docs/detection.md.
"""

from __future__ import annotations

from edge.detector.errors import DetectorStateError
from edge.detector.group import Group, make_group
from edge.detector.stream import Stream, make_stream
from edge.detector.van import DETECTOR_NAME, Detector

__all__ = [
    "DETECTOR_NAME",
    "Detector",
    "DetectorStateError",
    "Group",
    "Stream",
    "make_group",
    "make_stream",
]
