"""Envelopes and messages.

Goal: only exactly what was sealed opens; anything else ends as EnvelopeError with a one-word reason.
Method: round trips, every single flipped bit and every prefix of a small message, arbitrary bytes, foreign versions.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vantel.crc32c import crc32c, masked
from vantel.envelope import (
    MESSAGE_BYTES_MAX,
    ClockStamp,
    Envelope,
    EnvelopeError,
    compose_message,
    open_envelope,
    open_message,
    seal,
)
from vantel.identity import VAN_ID, DeliveryClass, Epoch, PayloadKind
from vantel.telemetry.v1 import envelope_pb2

REASONS = {"oversize", "truncated", "corrupt", "malformed", "unsupported"}
SMALL = Envelope(
    "van-1", Epoch(7, 0x9F3C1B2A), DeliveryClass.P1, 300, PayloadKind.BATCH, b"payload", 0xABCDEF, True
)
CLOCK = ClockStamp(bytes(range(16)), 1_700_000_000_000_000_000, envelope_pb2.CLOCK_SOURCE_GNSS, 2_000)

ENVELOPES = st.builds(
    Envelope,
    van=st.from_regex(VAN_ID, fullmatch=True).filter(str.isascii),
    epoch=st.builds(Epoch, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)),
    delivery_class=st.sampled_from(DeliveryClass),
    seq=st.integers(0, 2**64 - 1),
    kind=st.sampled_from(PayloadKind),
    payload=st.binary(max_size=200),
    catalog_hash=st.integers(0, 2**64 - 1),
    replayed=st.booleans(),
    simulated=st.booleans(),
)
CLOCKS = st.builds(
    ClockStamp,
    boot_id=st.binary(min_size=16, max_size=16),
    offset_ns=st.integers(-(2**63), 2**63 - 1),
    source=st.integers(0, 5),
    error_ns_max=st.integers(0, 2**64 - 1),
)


def with_checksum(body: bytes) -> bytes:
    return body + masked(crc32c(body)).to_bytes(4, "little")


@given(ENVELOPES, CLOCKS)
def test_what_is_sealed_opens_again(envelope: Envelope, clock: ClockStamp) -> None:
    sealed = seal(envelope)
    assert open_envelope(sealed) == envelope
    assert open_message(compose_message(sealed, clock)) == (envelope, clock)
    assert seal(envelope) == sealed


def test_every_flipped_bit_is_caught() -> None:
    sealed = seal(SMALL)
    message = compose_message(sealed, CLOCK)
    for data, opener in ((sealed, open_envelope), (message, open_message)):
        for bit in range(8 * len(data)):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << (bit % 8)
            with pytest.raises(EnvelopeError) as caught:
                opener(bytes(flipped))
            assert caught.value.reason == "corrupt"


def test_every_prefix_and_extension_is_refused() -> None:
    sealed = seal(SMALL)
    message = compose_message(sealed, CLOCK)
    for data, opener in ((sealed, open_envelope), (message, open_message)):
        for length in range(len(data)):
            with pytest.raises(EnvelopeError) as caught:
                opener(data[:length])
            assert caught.value.reason in ("truncated", "corrupt")
        for tail in (b"\0", b"\xff", data):
            with pytest.raises(EnvelopeError):
                opener(data + tail)


def test_a_damaged_envelope_in_a_sound_message_is_caught() -> None:
    sealed = bytearray(seal(SMALL))
    sealed[8] ^= 0x10
    with pytest.raises(EnvelopeError) as caught:
        open_message(compose_message(bytes(sealed), CLOCK))
    assert caught.value.reason == "corrupt"


@settings(max_examples=300)
@given(st.binary(max_size=120), st.booleans())
def test_arbitrary_bytes_end_as_envelope_error(data: bytes, checksum_fits: bool) -> None:
    candidate = with_checksum(data) if checksum_fits else data
    for opener in (open_envelope, open_message):
        reason = "corrupt"
        try:
            opener(candidate)
        except EnvelopeError as error:
            reason = error.reason
        assert reason in REASONS


def test_a_kind_of_a_newer_release_keeps_its_number_and_its_identity() -> None:
    newer = replace(SMALL, kind=99)
    assert open_envelope(seal(newer)) == newer


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"delivery_class": 9}, "unsupported"),
        ({"delivery_class": 0}, "unsupported"),
        ({"van": ""}, "malformed"),
        ({"van": "van/1"}, "malformed"),
        ({"van": "van-1\n"}, "malformed"),
    ],
)
def test_foreign_values_are_refused_by_reason(fields: dict[str, object], reason: str) -> None:
    pb = envelope_pb2.Envelope.FromString(seal(SMALL)[:-4])
    for name, value in fields.items():
        setattr(pb, name, value)
    with pytest.raises(EnvelopeError) as caught:
        open_envelope(with_checksum(pb.SerializeToString()))
    assert caught.value.reason == reason


def test_a_field_of_a_newer_van_is_passed_over() -> None:
    newer = seal(SMALL)[:-4] + bytes.fromhex("a00601")  # field 100, varint 1
    assert open_envelope(with_checksum(newer)) == SMALL


def test_a_clock_source_of_a_newer_van_is_kept_as_a_number() -> None:
    _, clock = open_message(compose_message(seal(SMALL), ClockStamp(bytes(16), 5, 77, 0)))
    assert clock.source == 77


def test_oversize_is_refused_unread() -> None:
    for opener in (open_envelope, open_message):
        with pytest.raises(EnvelopeError) as caught:
            opener(bytes(MESSAGE_BYTES_MAX + 1))
        assert caught.value.reason == "oversize"
