"""A CAN log and its DBC files as a recording.

From chunks of frames to chunks of samples named `<channel>.<Message>.<Signal>`, in the order of the log. A DBC that
matches no frame of the log is an error when nothing else can be decoded, else a warning; frames without a DBC or a
definition are counted. Raises RecordingError naming log and DBC.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import structlog

from edge.model import TextTable
from edge.settings import RecordingSection
from edge.sources.answer_file import load_answers
from edge.sources.answers import Answers
from edge.sources.can_channel import CanChannel, wanted_by
from edge.sources.can_log import FrameChunk, read_frames
from edge.sources.chunks import Chunk, SlotTable, legal_name
from edge.sources.dbc_file import load_with_doubts
from edge.sources.dbc_kernel import EXTENDED
from edge.sources.errors import RecordingError

IDS_SHOWN_MAX = 8
DBC_FIX = "give the DBC of this bus by {key}"
_NUMBER = re.compile(r"\d+$")
_log = structlog.get_logger("replay")


class CanRecording:
    """One CAN log."""

    def __init__(self, section: RecordingSection, texts: TextTable) -> None:
        self.path = section.path
        self.counts: Counter[str] = Counter()
        self.slots = SlotTable(section.path, section.map, section.overlay)
        self._texts = texts
        self._section = section
        loaded = {path: load_with_doubts(path) for path in _paths(section)}
        self._databases = {path: database for path, (database, _) in loaded.items()}
        self.notes = [note for _, notes in loaded.values() for note in notes]
        self._answers = None if section.answers is None else load_answers(section.answers)
        if not self._databases and self._answers is None:
            raise RecordingError(section.path, "a CAN log needs a DBC to be decoded", DBC_FIX, key="dbc")
        self._channels: dict[str, CanChannel | None] = {}
        self._keys_seen: dict[str, set[int]] = {}

    def chunks(self) -> Iterator[Chunk]:
        """Samples frame by frame."""
        self.counts.clear()
        for frames in read_frames(self.path, self.counts, self._section.start_unix_s is not None):
            yield self._decode(frames)

    def finish(self) -> None:
        """Checks the DBC files against the log, once it has been read."""
        if not self.counts["frames"]:
            raise RecordingError(
                self.path, f"no CAN frame in it ({self.counts['lines_bad']} bad lines)",
                "set format = to what the file is, or record again",
            )  # fmt: skip
        matched: Counter[Path] = Counter()
        for channel in self._channels.values():
            if channel is not None:
                matched.update(channel.decoder.frames_by_database)
        idle = [path for path in self._databases if not matched[path]]
        if self._databases and len(idle) == len(self._databases) and self._answers is None:
            given = self._section.dbc
            channels = f" on the channels {', '.join(given)}" if isinstance(given, dict) else ""
            raise RecordingError(
                self.path,
                f"the DBC {', '.join(map(str, idle))} defines none of its frames{channels}; "
                f"the log has {self._ids()}",
                DBC_FIX,
                key="dbc",
            )
        for path in idle:
            _log.warning(
                "DBC without frames",
                recording=str(self.path),
                dbc=str(path),
                log_has=self._ids(),
                fix="leave it out, or give the DBC of this bus",
            )
        unknown = self.counts["frames_unknown"] + self.counts["frames_without_dbc"]
        if unknown or self.counts["frames_undecodable"]:
            _log.info("frames without samples", recording=str(self.path), frames=self.counts["frames"],
                      unknown=unknown, undecodable=self.counts["frames_undecodable"])  # fmt: skip
        self._check_channels()
        self.slots.check_map(self._defined())

    def _decode(self, frames: FrameChunk) -> Chunk:
        """Decode channel by channel, then put the samples back into the order of the log."""
        slots, keys, values = [], [], []
        for index in np.unique(frames.channel):
            channel = frames.names[index]
            rows = np.flatnonzero(frames.channel == index)
            ids = frames.ids[rows]
            self._keys_seen.setdefault(channel, set()).update(np.unique(ids).tolist())
            decoding = self._channel(channel)
            if decoding is None:
                self.counts["frames_without_dbc"] += len(rows)
                continue
            before = decoding.counts
            found = decoding.decode(ids, frames.lengths[rows], frames.payload[rows])
            self.counts.update(decoding.counts - before)
            slots.append(found.slot)
            keys.append(rows[found.label])
            values.append(found.value)
        if not slots:
            return Chunk(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64))
        key = np.concatenate(keys)
        order = np.argsort(key, kind="stable")
        slot = np.concatenate(slots)[order]
        value = self.slots.apply(slot, np.concatenate(values)[order])
        return Chunk(slot, frames.t_ns[key[order]], value)

    def prefix(self, channel: str) -> str:
        """First part of the names of a channel: as in the log, or the name of the settings with its number."""
        name = self._section.name
        if name is None:
            return legal_name(f"can{channel}" if channel.isdigit() else channel)
        number = _NUMBER.search(channel)
        return legal_name(f"{name}{number.group()}" if number else f"{name}_{channel}")

    def _channel(self, channel: str) -> CanChannel | None:
        """Decoder of a channel, made when its first frame is met."""
        if channel not in self._channels:
            dbc = self._section.dbc
            chosen: Path | list[Path] = []
            if isinstance(dbc, dict):
                name = next((key for key in (channel, self.prefix(channel)) if key in dbc), None)
                chosen = dbc[name] if name is not None else []
            else:
                chosen = dbc
            paths = [chosen] if isinstance(chosen, Path) else chosen
            databases = [(path, self._databases[path]) for path in paths]
            answers = self._section.answers
            self._channels[channel] = (
                CanChannel(
                    self.prefix(channel),
                    (channel,),
                    databases,
                    self.slots,
                    j1939=self._section.j1939,
                    checksums=self._section.checksums,
                    answers=Answers(self._answers, answers, self._texts.code)
                    if self._answers and answers
                    else None,
                    code_of=self._texts.code,
                    wanted=wanted_by(self._section.signals),
                )
                if databases or answers
                else None
            )
        return self._channels[channel]

    def _check_channels(self) -> None:
        """A channel of the settings that the log does not have is most likely misspelt."""
        if isinstance(self._section.dbc, dict):
            present = {name for channel in self._keys_seen for name in (channel, self.prefix(channel))}
            for channel in self._section.dbc:
                if channel not in present:
                    _log.warning("channel without frames", recording=str(self.path), channel=channel,
                                 log_has=sorted(self._keys_seen), fix="correct the channel in dbc =")  # fmt: skip

    def _defined(self) -> set[str]:
        """Every name by which the map may call a signal of the DBC files."""
        return {
            name for channel in self._channels.values() if channel is not None for name in channel.names()
        }

    def _ids(self) -> str:
        """A few ids of the log, for messages."""
        shown = [
            f"{channel} {', '.join(_hex(key) for key in sorted(keys)[:IDS_SHOWN_MAX])}"
            for channel, keys in sorted(self._keys_seen.items())
        ]
        return "; ".join(shown[:IDS_SHOWN_MAX])


def _paths(section: RecordingSection) -> list[Path]:
    """Every DBC of the section once, in order."""
    groups = section.dbc.values() if isinstance(section.dbc, dict) else [section.dbc]
    flat = [path for group in groups for path in ([group] if isinstance(group, Path) else group)]
    return list(dict.fromkeys(flat))


def _hex(key: int) -> str:
    return f"0x{key & ~EXTENDED:X}" + ("x" if key & EXTENDED else "")
