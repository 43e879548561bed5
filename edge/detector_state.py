"""What the detector has learned, kept in the state folder over restarts. The rim of edge.detector: file, sync, boot.

The pipeline thread offers a copy every SAVE_PERIOD_S and when it ends; a thread of its own writes it to a temporary file,
syncs and renames, so that a kill leaves the old file or the new one. A digest over van, detector, boot and data tells a
damaged or foreign file, which is ignored with one log line: the detector then learns anew. A disk that fails costs the
memory, with one log line, and never a sample. A replay keeps nothing: it goes through its beginning again.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time

import structlog

from edge.detector import DETECTOR_NAME, Detector, DetectorStateError
from edge.settings import VanSection

FILE = "detector.state"
FILE_BYTES_MAX = 64 * 1024 * 1024
"""Of about 8,000 signals in sets; more is not kept."""
SAVE_PERIOD_S = 600.0
"""Some hundred MB of flash a day for 400 signals; a kill forgets at most so much, a stop nothing."""
LOOK_S = 0.5
_MAGIC = b"VANTELD1"
_BOOT_BYTES, _DIGEST_BYTES = 16, 16
_HEAD_BYTES = len(_MAGIC) + _BOOT_BYTES + _DIGEST_BYTES
_log = structlog.get_logger("detector")


class DetectorStore:
    """resume, offer: pipeline thread, or before it starts. run: a thread of its own."""

    def __init__(self, van: VanSection, boot_id: bytes, kept: bool = True) -> None:
        """boot_id: 16 bytes, zeros where it is unknown: then every start counts as a new boot."""
        self._path = van.state_dir / FILE
        self._van, self._boot_id, self._kept = van.id, boot_id, kept
        self._offered: bytes | None = None
        self._offer_at_s = time.monotonic() + SAVE_PERIOD_S
        self._failed = False

    def resume(self, detector: Detector) -> bool:
        """Let the detector go on from the file; False when it starts from nothing."""
        if not self._kept:
            return False
        try:
            boot_id, data = self._read()
            same_boot = boot_id == self._boot_id != bytes(_BOOT_BYTES)
            detector.resume(data, same_boot)
        except FileNotFoundError:
            return False
        except (OSError, DetectorStateError) as cause:
            _log.warning("detector learns anew", path=str(self._path), cause=str(cause))
            return False
        _log.info("detector goes on", bytes=len(data), same_boot=same_boot)
        return True

    def offer(self, detector: Detector, last: bool = False) -> None:
        """Copy the state when it is due, or for the last time."""
        now_s = time.monotonic()
        if not self._kept or (now_s < self._offer_at_s and not last):
            return
        self._offer_at_s = now_s + SAVE_PERIOD_S
        self._offered = detector.state()

    def run(self, stop: threading.Event) -> None:
        """Write what is offered, until stop is set; it is set after the last offer."""
        while not stop.wait(LOOK_S):
            self.write()
        self.write()

    def write(self) -> None:
        """Write what was offered last, if anything."""
        data, self._offered = self._offered, None
        if data is None:
            return
        temporary = self._path.with_suffix(".tmp")
        try:
            if len(data) + _HEAD_BYTES > FILE_BYTES_MAX:
                raise OSError(f"{len(data)} bytes are more than {FILE_BYTES_MAX}")
            with temporary.open("wb") as file:
                file.write(_MAGIC + self._boot_id + self._digest(self._boot_id, data))
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # the rename, too
            finally:
                os.close(folder)
            self._failed = False
        except OSError as cause:
            if not self._failed:
                self._failed = True
                _log.warning("detector state not kept: a restart learns anew", path=str(self._path),
                             cause=cause.strerror or str(cause), fix="check the state directory")  # fmt: skip

    def _read(self) -> tuple[bytes, bytes]:
        """(boot id, data) of the file. OSError, DetectorStateError."""
        with self._path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        magic, boot_id = content[: len(_MAGIC)], content[len(_MAGIC) : len(_MAGIC) + _BOOT_BYTES]
        digest, data = content[_HEAD_BYTES - _DIGEST_BYTES : _HEAD_BYTES], content[_HEAD_BYTES:]
        if len(content) > FILE_BYTES_MAX or magic != _MAGIC or digest != self._digest(boot_id, data):
            raise DetectorStateError("the file is damaged, or of another van or version")
        return boot_id, data

    def _digest(self, boot_id: bytes, data: bytes) -> bytes:
        whole = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        for part in (self._van.encode(), DETECTOR_NAME.encode(), boot_id):
            whole.update(len(part).to_bytes(4, "little") + part)
        whole.update(data)
        return whole.digest()
