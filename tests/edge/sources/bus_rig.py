"""A real D-Bus daemon on a socket of its own, with stand-ins for systemd and ModemManager on it.

No container has either of them; their interfaces are made after org.freedesktop.systemd1(5) and the ModemManager reference.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={path}</listen>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>"""

Answer = Callable[[Message], Message | None]


class BusRig:
    """The daemon, and a thread on which services answer calls."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("dbus-daemon")
        if program is None:
            pytest.skip("no dbus-daemon on this machine")
        folder.mkdir()
        self.address = f"unix:path={folder}/bus"
        (folder / "bus.conf").write_text(CONFIG.format(path=folder / "bus"))
        self._daemon = subprocess.Popen(
            [program, f"--config-file={folder}/bus.conf", "--nofork", "--print-address=1"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self._daemon.stdout is not None
        self._daemon.stdout.readline()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def serve(self, name: str, answer: Answer) -> None:
        """Own a name; answer gives the reply to each call, None leaves the caller waiting."""
        self._do(self._serve(name, answer))

    def stop(self) -> None:
        """End daemon and thread."""
        self._daemon.terminate()
        self._daemon.wait(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _serve(self, name: str, answer: Answer) -> None:
        bus = await MessageBus(self.address).connect()

        def take(message: Message) -> Message | bool:
            if message.message_type is not MessageType.METHOD_CALL or message.destination not in (
                name,
                bus.unique_name,
            ):
                return False
            return answer(message) or True

        bus.add_message_handler(take)
        await bus.request_name(name)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)
