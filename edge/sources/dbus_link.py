"""Method calls over D-Bus, each bounded in time: the one place that knows dbus-fast.

Raises OSError for everything that goes wrong: no bus, no such service, an error answer, no answer in CALL_S_MAX.
"""

from __future__ import annotations

import asyncio
from typing import Any

from dbus_fast import BusType, DBusError, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.unpack import unpack_variants

CALL_S_MAX = 2.0
PROPERTIES = "org.freedesktop.DBus.Properties"


class DbusLink:
    """One connection. Owned by one event loop. A user opens it before each turn and closes it after a failed one."""

    def __init__(self, address: str) -> None:
        """address: of the bus, empty for the system's."""
        self._address = address
        self._bus: MessageBus | None = None

    async def open(self) -> None:
        """Connect, if that has not been done since the last close."""
        if self._bus is not None:
            return
        try:
            bus = MessageBus(self._address or None, BusType.SYSTEM)
            self._bus = await asyncio.wait_for(bus.connect(), CALL_S_MAX)
        except (OSError, EOFError, asyncio.TimeoutError, DBusError, ValueError, AttributeError) as cause:
            raise OSError(f"no D-Bus at {self._address or 'the address of the system'}: {cause}") from cause

    def close(self) -> None:
        """Disconnect."""
        if self._bus is not None:
            self._bus.disconnect()
            self._bus = None

    async def call(
        self,
        service: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: tuple[Any, ...] = (),
    ) -> list[Any]:
        """The values of the answer, variants unpacked."""
        if self._bus is None or not self._bus.connected:
            raise OSError("D-Bus connection lost")
        message = Message(service, path, interface, member, signature=signature, body=list(body))
        try:
            answer = await asyncio.wait_for(self._bus.call(message), CALL_S_MAX)
        except (EOFError, asyncio.TimeoutError, DBusError) as cause:
            raise OSError(f"{service} {member}: no answer within {CALL_S_MAX:g} s {cause}") from cause
        if answer is None or answer.message_type is not MessageType.METHOD_RETURN:
            why = answer.error_name if answer is not None else "nothing"
            raise OSError(f"{service} {member}: {why}")
        return list(unpack_variants(answer.body))

    async def property(self, service: str, path: str, interface: str, name: str) -> Any:
        """One property."""
        (value,) = await self.call(service, path, PROPERTIES, "Get", "ss", (interface, name))
        return value
