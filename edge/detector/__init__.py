"""First detector: range, rate, stuck, timeout and robust z of every signal, causal, without training.

SampleBlocks of one stream -> vantel.payloads.Event; times in monotonic ns, values in the unit of the signal. Channels,
thresholds and what it cannot see: docs/detection.md.
"""

from __future__ import annotations

from edge.detector.errors import DetectorStateError
from edge.detector.first import DETECTOR_NAME, Detector
from edge.detector.stream import Stream, make_stream

__all__ = ["DETECTOR_NAME", "Detector", "DetectorStateError", "Stream", "make_stream"]
