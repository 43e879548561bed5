"""What can be wrong with coded columns, by what the caller does about it."""

from __future__ import annotations


class CodecError(ValueError):
    """Root of all that encode and decode raise."""


class CorruptError(CodecError):
    """The bytes contradict the format: dead letter."""


class TruncatedError(CodecError):
    """The bytes end too early: what is there fits so far."""


class UnsupportedError(CodecError):
    """Made by a newer encoder: keep the bytes, a newer decoder reads them."""


class InvalidArgumentError(CodecError):
    """The caller passed columns that the format cannot hold."""
