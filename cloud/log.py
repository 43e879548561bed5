"""Structured logs of the cloud side on standard error: text for people, JSON for machines.

structlog events and the records of libraries (aiokafka, Faust, aiohttp) leave in one form. Seldom bounds repeated
problems: it lets a message through once a period for each key and says how many were held back. What libraries repeat
(aiokafka says ten times a second that a broker is away) passes through it too.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import OrderedDict

import structlog

from cloud.settings import LogSection

KEYS_MAX = 1000


def configure(settings: LogSection) -> None:
    """Set up structlog and the standard library's logging once, in __main__."""
    level = logging.getLevelName(settings.level.upper())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    sink = logging.StreamHandler(sys.stderr)
    sink.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    sink.addFilter(_Repeats())
    root = logging.getLogger()
    root.handlers[:] = [sink]
    # libraries tell their inner life at info; what needs a person they say at warning
    root.setLevel(max(level, logging.WARNING))


def configure_for_command(settings: LogSection) -> None:
    """For commands that say themselves what a library would only repeat: our errors alone."""
    configure(settings.model_copy(update={"level": "error"}))
    logging.getLogger().setLevel(logging.CRITICAL + 1)


class Seldom:
    """Gate for repeated log messages: one a period for each key, with the count of what was held back."""

    def __init__(self, period_s: float = 10.0) -> None:
        self._period_s = period_s
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def allow(self, key: str) -> int | None:
        """None: hold it back. Else: how many with this key were held back since the last one that passed."""
        now_s = time.monotonic()
        last_s, held = self._seen.pop(key, (float("-inf"), 0))
        passed = now_s - last_s >= self._period_s
        self._seen[key] = (now_s, 0) if passed else (last_s, held + 1)
        if len(self._seen) > KEYS_MAX:
            self._seen.popitem(last=False)
        return held if passed else None


class _Repeats(logging.Filter):
    """Holds back what a library said in the same words within the last period, but for critical messages."""

    def __init__(self) -> None:
        super().__init__()
        self._seldom = Seldom()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.CRITICAL:
            return True
        held = self._seldom.allow(f"{record.name} {record.msg}")
        if held:
            record.msg = f"{record.msg} (and {held} more like it)"
        return held is not None
