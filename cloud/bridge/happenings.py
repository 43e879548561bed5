"""What the MQTT link tells the bridge, as values: connections, deliveries, answers to publishes."""

from __future__ import annotations

from typing import NamedTuple


class Connected(NamedTuple):
    """The broker accepted us. window: how many publishes may be without an answer."""

    connection: int
    session_present: bool
    window: int


class Subscribed(NamedTuple):
    """The broker granted all subscriptions."""

    connection: int


class Disconnected(NamedTuple):
    """The connection ended or could not be made."""

    connection: int
    why: str


class Delivery(NamedTuple):
    """A message. mid is 0 for QoS 0, which needs no PUBACK."""

    connection: int
    mid: int
    topic: str
    payload: bytes
    received_unix_ns: int


class Published(NamedTuple):
    """The broker's answer to a publish; failed: why it refused the message, empty when it took it."""

    connection: int
    tag: int
    failed: str


Happening = Connected | Subscribed | Disconnected | Delivery | Published
