"""One client of the socket: bytes of its connection to samples, within its rate. Pure: time comes in as an argument.

A client begins with a declaration; then it sends samples. Whatever is no message ends its connection with a reason. A sample
of an unknown place, or one whose stamp lies before AGE_S_MAX, is left out and counted; a stamp of the future becomes the
time of receipt, so that no client moves the windows of the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from edge.model import SampleBlock
from edge.sources.declarations import Binding, DeclarationError, Declarations
from vantel.source_socket import (
    Declaration,
    Frames,
    Samples,
    SourceMessageError,
    decode_client,
    encode_answer,
    framed,
)

AGE_S_MAX = 30.0
DECLARATIONS_MAX = 100
"""Declarations in one connection."""


class Allowance:
    """A bucket of samples that fills at a rate, up to what a second brings. It may be overdrawn by one message."""

    def __init__(self, samples_per_s: float) -> None:
        self._per_s = samples_per_s
        self._left = samples_per_s
        self._at_s: float | None = None

    def delay_s(self, now_s: float) -> float:
        """Seconds until something may be taken; 0 when it may be now."""
        if self._at_s is not None:
            self._left = min(self._per_s, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        return max(0.0, -self._left / self._per_s)

    def take(self, samples: int) -> None:
        """So many were taken."""
        self._left -= samples


class ClientStream:
    """State of one connection. feed() gives samples and the answers that go back."""

    def __init__(
        self,
        declarations: Declarations,
        samples_per_s: float,
        code_of: Callable[[str], int],
        counts: Counter[str],
    ) -> None:
        self.name = ""
        self.allowance = Allowance(samples_per_s)
        self._declarations = declarations
        self._code_of = code_of
        self._counts = counts
        self._frames = Frames()
        self._binding: Binding | None = None
        self._declared = 0

    @property
    def has_declared(self) -> bool:
        """Whether it began as a client does."""
        return self._binding is not None

    @property
    def incomplete_bytes(self) -> int:
        """Bytes of a message that has not come whole."""
        return self._frames.incomplete_bytes

    def feed(self, data: bytes, now_mono_ns: int, now_unix_s: float) -> tuple[list[SampleBlock], bytes, bool]:
        """(blocks, bytes to send back, whether the connection goes on)."""
        blocks: list[SampleBlock] = []
        answers = b""
        try:
            for message in self._frames.feed(data):
                read = decode_client(message)
                if isinstance(read, Declaration):
                    answers += self._declare(read, now_unix_s)
                elif block := self._samples(read, now_mono_ns):
                    blocks.append(block)
        except SourceMessageError as cause:
            self._counts[f"refused_{cause.reason}"] += 1
            return blocks, answers + framed(encode_answer(str(cause))), False
        except DeclarationError as cause:
            self._counts["refused_declaration"] += 1
            return blocks, answers + framed(encode_answer(str(cause))), False
        return blocks, answers, True

    def _declare(self, declaration: Declaration, now_unix_s: float) -> bytes:
        self._declared += 1
        if self._declared > DECLARATIONS_MAX:
            raise SourceMessageError("too_many_declarations", f"at most {DECLARATIONS_MAX} in a connection")
        self.name = declaration.client
        self._binding = self._declarations.bind(declaration.signals, now_unix_s)
        return framed(encode_answer(waiting=self._binding.waiting))

    def _samples(self, samples: Samples, now_ns: int) -> SampleBlock | None:
        """Samples of known signals and sane stamps, in order of time."""
        binding = self._binding
        if binding is None:
            raise SourceMessageError("undeclared", "declare the signals before sending samples")
        self.allowance.take(len(samples.value))
        if not len(samples.value):
            return None
        if int(samples.signal.max()) >= len(binding.slot):
            raise SourceMessageError(
                "unknown_signal", f"signal {samples.signal.max()} of {len(binding.slot)} that are declared"
            )
        place = samples.signal.astype(np.int64)
        if samples.t_mono_ns is None:
            t_ns = np.full(len(place), now_ns, np.int64)
        else:
            t_ns = np.minimum(samples.t_mono_ns, now_ns)
            self._counts["stamps_replaced"] += int(np.count_nonzero(t_ns != samples.t_mono_ns))
        slot = binding.slot[place]
        value = samples.value * binding.scale[place] + binding.offset[place]
        if binding.is_text[place].any():
            self._intern(value, samples, binding.is_text[place])
        old = t_ns < now_ns - int(AGE_S_MAX * 1e9)
        good = (slot >= 0) & ~old
        if not good.all():
            self._counts["samples_too_old"] += int(np.count_nonzero(old))
            self._counts["samples_waiting"] += int(np.count_nonzero((slot < 0) & ~old))
            slot, t_ns, value = slot[good], t_ns[good], value[good]
        if len(t_ns) > 1 and (t_ns[1:] < t_ns[:-1]).any():
            order = np.argsort(t_ns, kind="stable")
            slot, t_ns, value = slot[order], t_ns[order], value[order]
        return SampleBlock(slot, t_ns, value) if len(slot) else None

    def _intern(self, value: np.ndarray, samples: Samples, is_text: np.ndarray) -> None:
        """Places in the texts of the message to codes of the agent; any other place to the empty text."""
        codes = np.array([0, *(self._code_of(text) for text in samples.texts)], np.float64)
        with np.errstate(invalid="ignore"):
            at = np.where(is_text & (value >= 0) & (value < len(samples.texts)), value + 1, 0).astype(
                np.int64
            )
        value[is_text] = codes[at[is_text]]
