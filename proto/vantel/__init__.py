"""The contract of Vantel: what van and cloud agree on, byte by byte.

identity (who sent what) · topics (where it travels) · envelope (sealed bytes) · payloads (what is inside) ·
codec (columns <-> bytes) · catalog (signals) · crc32c · intervals (sets of sequence numbers).
Generated protobuf code lives in vantel.telemetry.v1; docs/format.md is normative.
"""
