"""Bytes of a segment.

Goal: what is read is what was written, or nothing. Method: a segment file built record by record, then cut at every
byte, every bit flipped, blocks zeroed or taken from another segment; the scan may lose records, never invent one.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.spool.framing import (
    BLOCK_BYTES,
    HEADER_BYTES,
    RECORD_HEAD_BYTES,
    Record,
    SegmentHeader,
    frame,
    salt_of,
    scan,
    unframe,
)  # fmt: skip
from vantel.crc32c import crc32c
from vantel.identity import DeliveryClass, Epoch

EPOCH = Epoch(7, 0x9F3C1B2A)
HEADER = SegmentHeader(12, crc32c(b"van-1"), EPOCH, DeliveryClass.P1, 100, 90)
SALT = salt_of(12, EPOCH, DeliveryClass.P1)


def build(messages: list[bytes], salt: int = SALT) -> tuple[bytes, list[tuple[int, int, Record]]]:
    data = bytearray(HEADER.encode())
    places = []
    for number, message in enumerate(messages):
        record = Record(100 + number, number * 3, number * 10**9, 100 + number // 2, message)
        start, framed = frame(record.encode(), len(data), salt)
        data += framed
        places.append((start, len(data), record))
    return bytes(data), places


def seen(data: bytes, salt: int = SALT) -> dict[int, Record]:
    """Records a scan finds, each read again through its place."""
    found = scan(data, salt)
    result: dict[int, Record] = {}
    for offset, end, seq, position, synced, length in found.rows.tolist():
        record = unframe(data[offset:end], offset, salt)
        assert record is not None
        assert (record.seq, record.position, record.synced, len(record.message)) == (
            seq,
            position,
            synced,
            length,
        )
        result[seq] = record
    return result


def messages_of(seed: int, total: int, sizes: tuple[int, ...]) -> list[bytes]:
    rng = random.Random(seed)
    result: list[bytes] = []
    while sum(map(len, result)) < total:
        result.append(rng.randbytes(rng.choice(sizes)))
    return result


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3 * BLOCK_BYTES), max_size=8), st.integers(0, 2**32))
def test_scan_and_unframe_give_back_every_record(sizes: list[int], seed: int) -> None:
    rng = random.Random(seed)
    data, places = build([rng.randbytes(size) for size in sizes])
    assert seen(data) == {record.seq: record for _, _, record in places}
    found = scan(data, SALT)
    assert (found.bad_blocks, found.torn, found.valid_end) == (0, False, len(data))
    assert [(int(row[0]), int(row[1])) for row in found.rows] == [(start, end) for start, end, _ in places]


@pytest.mark.parametrize("left", range(0, 90))
def test_records_around_a_block_edge(left: int) -> None:
    first = BLOCK_BYTES - HEADER_BYTES - 7 - RECORD_HEAD_BYTES - left
    data, places = build([bytes(first), b"second", b"third" * 20])
    assert seen(data) == {record.seq: record for _, _, record in places}


def test_truncation_at_every_byte_keeps_the_longest_prefix() -> None:
    data, places = build(messages_of(1, 8 * 1024, (0, 17, 200, 900)))
    for size in range(len(data) + 1):
        whole = [record.seq for _, end, record in places if end <= size]
        assert scan(data[:size], SALT).seqs.tolist() == whole


def test_every_bit_flip_loses_at_most_its_block_and_invents_nothing() -> None:
    data, places = build(messages_of(2, 8 * 1024, (0, 17, 200, 900)))
    written = {record.seq: record for _, _, record in places}
    work = bytearray(data)
    for bit in range(8 * len(data)):
        work[bit // 8] ^= 1 << (bit % 8)
        found = scan(bytes(work), SALT).seqs.tolist()
        hit = min((s for s, (start, end, _) in enumerate(places) if bit // 8 < end), default=0)
        if bit // 8 < HEADER_BYTES:
            assert found == list(written)
        else:
            assert found == list(written)[:hit]  # one block: the rest of it is behind the damage
        work[bit // 8] ^= 1 << (bit % 8)


def test_bit_flips_in_a_large_segment_cost_one_block() -> None:
    data, places = build(messages_of(3, 200 * 1024, (50, 700, 5000, 40_000)))
    written = {record.seq: record for _, _, record in places}
    rng = random.Random(4)
    for _ in range(400):
        work = bytearray(data)
        at = rng.randrange(HEADER_BYTES, len(data))
        work[at] ^= 1 << rng.randrange(8)
        block = at // BLOCK_BYTES * BLOCK_BYTES
        found = seen(bytes(work))
        assert all(written[seq] == record for seq, record in found.items())
        outside = {r.seq for start, end, r in places if end <= block or start >= block + BLOCK_BYTES}
        assert outside <= set(found)


def test_zeroed_swapped_and_foreign_blocks_give_no_record() -> None:
    data, places = build(messages_of(5, 160 * 1024, (700, 5000, 70_000)))
    foreign, _ = build(messages_of(6, 160 * 1024, (700, 5000, 70_000)), salt_of(13, EPOCH, DeliveryClass.P1))
    written = {record.seq: record for _, _, record in places}
    rng = random.Random(7)
    for _ in range(200):
        work = bytearray(data)
        at = rng.randrange(len(data) // BLOCK_BYTES) * BLOCK_BYTES
        source = rng.choice([bytes(len(data)), foreign, data[BLOCK_BYTES:] + data[:BLOCK_BYTES]])
        work[at : at + BLOCK_BYTES] = source[at : at + BLOCK_BYTES]
        assert all(written[seq] == record for seq, record in seen(bytes(work)).items())
    assert seen(foreign) == {}
    assert seen(data[:HEADER_BYTES] + bytes(100_000)) == {}


def test_more_records_than_one_pass_of_the_scan_holds() -> None:
    data, places = build([b""] * 40_000)
    found = scan(data, SALT)
    assert np.array_equal(found.seqs, np.arange(100, 40_100))
    assert not found.torn
    assert found.valid_end == places[-1][1]


def test_header_is_exact_or_refused() -> None:
    encoded = HEADER.encode()
    assert len(encoded) == HEADER_BYTES
    assert SegmentHeader.decode(encoded) == HEADER
    for bit in range(8 * HEADER_BYTES):
        flipped = bytearray(encoded)
        flipped[bit // 8] ^= 1 << (bit % 8)
        assert SegmentHeader.decode(bytes(flipped)) is None
    assert SegmentHeader.decode(encoded[:-1]) is None
