"""What a campaign may cost, and the one error of the package. A van enforces every bound before anything runs."""

from __future__ import annotations

CONDITIONS_MAX = 256
SIGNALS_MAX = 256
"""Entries of the signal list of one campaign; an entry may be a pattern."""
TEXT_CHARS_MAX = 4096
DEPTH_MAX = 10
"""Parentheses, functions and signs within one another."""
NODES_MAX = 256
"""Operators, functions, names and numbers of one condition."""
PROGRAM_NODES_MAX = 16_384
"""Of all conditions together, equal parts counted once."""
WINDOW_S_MAX = 300.0
WINDOW_BYTES_MAX = 16 * 1024 * 1024
"""Memory of all windows together."""
DOCUMENT_BYTES_MAX = 256 * 1024
NAME_CHARS_MAX = 64
PURPOSE_CHARS_MAX = 512
AFTER_S_MAX = 300.0
HOLD_S_MAX = 90 * 86_400.0
REASONS = (
    "malformed", "signature", "no_key", "replayed", "wrong_van", "too_large", "duplicate", "name", "syntax", "type",
    "unknown_signal", "too_deep", "too_many", "window", "range", "budget",
)  # fmt: skip
"""Every reason of a rejection."""


class CampaignError(ValueError):
    """A campaign, or a set of them, that is not taken. reason is one of REASONS.

    position: characters from the start of the condition, -1 where the mistake is elsewhere.
    """

    def __init__(self, reason: str, detail: str, position: int = -1) -> None:
        super().__init__(f"{reason}: {detail}" + (f" (at character {position})" if position >= 0 else ""))
        self.reason, self.detail, self.position = reason, detail, position
