"""All decoders of the project with what they read: valid samples, declared errors, and how to make a checksum right."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from cloud.commands.redrive import way_back
from cloud.ledger.accounts import CloudAccount, VanAccount
from cloud.worker.letters import DeadLetter
from cloud.worker.steps.open import Incoming, open_bundle, open_incoming, pack
from edge.clock.gnss import sentence_time_ns
from edge.sources.dbc_kernel import EXTENDED
from edge.sources.gnss_decoding import ReceiverDecoder
from edge.sources.gnss_gpsd import GpsdReader
from edge.sources.gnss_report import checked
from edge.sources.gnss_stream import sentence_body, ubx_checksum
from edge.sources.isotp import IsoTp
from edge.sources.j1939 import Transport, TroubleCodes
from edge.sources.tegrastats import parse_line
from edge.spool import cursor
from edge.spool.framing import HEADER_BYTES, Record, SegmentHeader, frame, salt_of, scan, unframe
from tests.fuzz.buses import buses, frames_of
from tests.fuzz.campaign import Decoder
from tests.fuzz.campaigns import campaigns
from tests.fuzz.line_protocol import round_trip
from tests.fuzz.recordings import recordings
from vantel.acks import Ack
from vantel.catalog import Catalog, CatalogError, Signal, SignalType, assemble
from vantel.codec import CodecError, decode, encode
from vantel.columns import Column
from vantel.commands import Command, CommandResult, CommandStatus, LiveView, Rebirth, Resend
from vantel.crc32c import crc32c, masked
from vantel.envelope import EnvelopeError, open_envelope, open_message, seal
from vantel.identity import DeliveryClass, Epoch, StreamKey
from vantel.intervals import IntervalSet
from vantel.payloads import Batch, Birth, Death, Event, Health, Tombstone
from vantel.source_socket import (
    Declaration,
    Frames,
    Samples,
    SourceMessageError,
    decode_client,
    encode_declaration,
    encode_samples,
    framed,
)
from vantel.topics import parse_up, up

GOLDEN = Path(__file__).parents[1] / "proto" / "golden" / "v1"
BOARDS = Path(__file__).parents[1] / "data" / "jetson" / "tegrastats_board_lines.txt"
EPOCH = Epoch(12, 0x9F3C1B2A)
SALT = salt_of(7, EPOCH, DeliveryClass.P1)


def decoders() -> list[Decoder]:
    """Each decoder once."""
    return [
        *_contract(),
        *_payloads(),
        *_cloud(),
        *_spool(),
        *_sources(),
        *buses(),
        *recordings(),
        *campaigns(),
    ]


def _golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.bin").read_bytes()


def _resealed(data: bytes) -> bytes:
    """With the masked checksum that messages and envelopes end in."""
    return data[:-4] + masked(crc32c(data[:-4])).to_bytes(4, "little")


def _contract() -> list[Decoder]:
    message = _golden("message")
    signals = assemble([Signal("Vehicle.Speed"), Signal("Van.Door", unit=""), Signal("Van.Temperature")])
    return [
        Decoder("columns", _columns(), _decode_columns, (CodecError,)),
        Decoder("envelope", [seal(open_message(message)[0])], open_envelope, (EnvelopeError,), _resealed),
        Decoder("message", [message], open_message, (EnvelopeError,), _resealed),
        Decoder("catalog", [signals.encode()], Catalog.decode, (CatalogError,)),
        Decoder("ack", [_golden("payload-ack")], Ack.decode, (EnvelopeError,)),
        Decoder("command", _commands(), Command.decode, (EnvelopeError,)),
        Decoder("topic", [up("van-1", DeliveryClass.P1).encode()], lambda d: parse_up(d.decode("latin-1")), (ValueError,)),
    ]  # fmt: skip


def _columns() -> list[bytes]:
    rng = np.random.default_rng(1)
    samples = []
    for n in (0, 1, 20, 300):
        t_ns = 10**12 + np.arange(n) * 10**7 + rng.integers(0, 10**5, n)
        walk = np.round(np.cumsum(rng.normal(size=n)), 2)
        values = [walk, walk.astype(np.float32), (walk * 100).astype(np.int16), rng.random(n), walk > 0,
                  np.array(["on", "off"], object)[(walk > 0).astype(int)], np.full(n, np.nan)]  # fmt: skip
        quality = (rng.random(n) < 0.1).astype(np.uint8)
        columns = [Column(i + 1, t_ns, v, quality if i == 1 else None) for i, v in enumerate(values)]
        samples.append(encode(columns))
    return samples


def _decode_columns(data: bytes) -> None:
    for column in decode(data):
        assert len(column.t_ns) == len(column.values)
        assert column.quality is None or len(column.quality) == len(column.t_ns)


def _commands() -> list[bytes]:
    bodies = (LiveView(60.0, (1, 2)), Rebirth(), Resend(EPOCH, DeliveryClass.P1, 3, 900))
    return [Command("c-1", body, 10**18).encode() for body in bodies]


def _payloads() -> list[Decoder]:
    result = CommandResult("c-1", CommandStatus.DONE, "done").encode()
    kinds = {
        "batch": Batch.decode, "event": Event.decode, "birth": Birth.decode, "health": Health.decode,
        "tombstone": Tombstone.decode, "death": Death.decode,
    }  # fmt: skip
    found = [Decoder(n, [_golden(f"payload-{n}")], read, (EnvelopeError,)) for n, read in kinds.items()]
    return [*found, Decoder("command_result", [result], CommandResult.decode, (EnvelopeError,))]


def _cloud() -> list[Decoder]:
    message = _golden("message")
    bundle = pack(31, [Incoming("vantel.p1", "van-1", message, 10**18)] * 3)
    topic = up("van-1", DeliveryClass.P1)
    letters = [
        DeadLetter(
            "van-1",
            "codec",
            "why",
            message,
            mqtt_topic=topic,
            received_unix_ns=10**18,
            refused_unix_ns=10**18,
        ),
        DeadLetter("van-1", "line_refused", "why", b"signals,van=van-1 a=1.0 5", "vantel.p1"),
    ]
    health = Health.decode(_golden("payload-health"))
    cloud_account = CloudAccount(StreamKey("van-1", EPOCH, DeliveryClass.P1), IntervalSet([(0, 9), (12, 40)]))
    van_account = VanAccount("van-1", 10**18, {(a.epoch, a.delivery_class): a for a in health.accounts})
    return [
        Decoder("bundle", [bundle], _open_bundle),
        Decoder("dead_letter", [letter.encode() for letter in letters], lambda d: way_back(DeadLetter.decode(d)), (EnvelopeError,)),
        Decoder("cloud_account", [cloud_account.encode()], CloudAccount.decode, (EnvelopeError,)),
        Decoder("van_account", [van_account.encode()], VanAccount.decode, (EnvelopeError,)),
        Decoder("line_protocol", [b"speed\0a text, with = and \"\\\n", bytes(range(256)) * 2], round_trip),
    ]  # fmt: skip


def _open_bundle(data: bytes) -> None:
    found = open_bundle("vantel.p1", data)
    if isinstance(found, list):
        for incoming in found[:100]:
            open_incoming(incoming)


def _spool() -> list[Decoder]:
    header = SegmentHeader(7, crc32c(b"van-1"), EPOCH, DeliveryClass.P1, 0).encode()
    segment = bytearray(header)
    for seq, size in enumerate((0, 100, 5_000, 40_000, 300)):
        segment += frame(Record(seq, seq, 10**9, seq, bytes(size)).encode(), len(segment), SALT)[1]
    state = cursor.State(van="van-1", epoch=EPOCH, position=9, boot_id="b")
    return [
        Decoder("segment_header", [header], SegmentHeader.decode, (), _resealed),
        Decoder("segment", [bytes(segment)], _read_segment),
        Decoder("cursor", [cursor.encode(state, 5)], cursor.decode, (), _resealed_cursor),
    ]


def _read_segment(data: bytes) -> None:
    found = scan(data, SALT)
    offsets, ends = found.column("offset"), found.column("end")
    assert len(found.rows) == 0 or (offsets.min() >= HEADER_BYTES and ends.max() <= len(data))
    for offset, end in zip(offsets.tolist(), ends.tolist(), strict=True):
        assert unframe(data[offset:end], offset, SALT) is not None


def _resealed_cursor(data: bytes) -> bytes:
    return data[:-10] + b"\n%08x\n" % masked(crc32c(data[:-10]))


def _sources() -> list[Decoder]:
    lines = [line for line in BOARDS.read_bytes().splitlines() if parse_line(line.decode("utf-8", "replace"))]
    frames = bytes(
        rank for at in range(12) for rank in (at % 3, 8, 0x10 if at < 2 else 0x20 | at, 20, *range(6))
    )
    return [
        Decoder("nmea", [b"$GPZDA,201530.00,04,07,2002,00,00*60"], lambda d: sentence_time_ns(d.decode("latin-1")),
                (ValueError, IndexError), _resealed_nmea),
        Decoder("tegrastats_line", lines, lambda d: parse_line(d.decode("utf-8", "replace"))),
        Decoder("gnss_receiver", _receiver(), _read_receiver, (), _resealed_receiver),
        Decoder("gpsd", [GPSD], _read_gpsd),
        Decoder("isotp", [frames], _isotp),
        Decoder("source_socket", [b"".join(map(framed, _client_messages()))], _client_stream, (SourceMessageError,)),
        Decoder("source_message", _client_messages(), _client_message, (SourceMessageError,)),
        Decoder("j1939", [frames], _j1939),
    ]  # fmt: skip


def _receiver() -> list[bytes]:
    pvt = bytes.fromhex("60ce0a0fe807011e0f1f3437220000005e8ef9ff0403210e")
    frame = b"\x01\x07\x5c\x00" + pvt + bytes(92 - len(pvt))
    bodies = (b"GNRMC,003956.00,A,4552.65403,S,17030.00668,E,0.025,,120419,,,A,V", b"GNGSA,A,3,13,16,,1.05,0.64,0.83,1",
              b"GNGGA,003956.00,4552.65403,S,17030.00668,E,1,12,0.64,14.2,M,1.8,M,,", b"GPGSV,3,1,12,05,06,110,19")  # fmt: skip
    sentences = b"".join(_resealed_nmea(b"$" + body + b"*") + b"\r\n" for body in bodies)
    return [sentences, b"\xb5b" + frame + ubx_checksum(frame)]


def _resealed_receiver(data: bytes) -> bytes:
    """Every sentence and the first frame with right checksums."""
    if data[:2] == b"\xb5b" and len(data) >= 8:
        return data[:-2] + ubx_checksum(data[2:-2])
    return b"\r\n".join(
        _resealed_nmea(line) if line.startswith(b"$") else line for line in data.split(b"\r\n")
    )


def _read_receiver(data: bytes) -> None:
    decoder = ReceiverDecoder()
    for report in decoder.feed(data):
        assert report.values == checked(report.values, Counter())
    for line in data.splitlines():
        sentence_body(line)


GPSD = (
    b'{"class":"TPV","mode":3,"status":2,"time":"2026-09-21T14:13:20.000Z","lat":48.75,"lon":9.25,"leapseconds":18}\n'
    b'{"class":"SKY","hdop":0.8,"nSat":21,"satellites":[{"PRN":1,"used":true}]}\n'
)


def _read_gpsd(data: bytes) -> None:
    reader = GpsdReader()
    for report in reader.feed(data + b"\n"):
        checked(report.values, reader.counts)


def _client_messages() -> list[bytes]:
    """What a client of the socket sends: a declaration, then samples with and without stamps and texts."""
    declared = Declaration("planner", (Signal("a", unit="m/s"), Signal("note", type=SignalType.STRING)))
    stamps = np.arange(40, dtype=np.int64) * 10**6
    samples = [
        Samples(np.arange(40, dtype=np.uint32) % 2, stamps, np.arange(40.0) % 3, ("x", "y" * 300)),
        Samples(np.zeros(5, np.uint32), None, np.full(5, np.nan)),
    ]
    return [encode_declaration(declared), *map(encode_samples, samples)]


def _client_message(data: bytes) -> None:
    read = decode_client(data)
    if isinstance(read, Samples):
        assert len(read.signal) == len(read.value)
        assert read.t_mono_ns is None or len(read.t_mono_ns) == len(read.value)


def _client_stream(data: bytes) -> None:
    for message in Frames().feed(data):
        _client_message(message)


def _resealed_nmea(data: bytes) -> bytes:
    body = re.sub(rb"[*$\s]", b"", data.partition(b"*")[0])
    check = 0
    for byte in body.decode("latin-1").encode():
        check ^= byte
    return b"$%b*%02X" % (body, check)


def _isotp(data: bytes) -> None:
    ids, lengths, payload = frames_of(data, (0x7E8, 0x7E9))
    reader = IsoTp([0x7E8, 0x7E9])
    for _row, _key, answer in reader.feed(reader.rows(ids), ids, lengths, payload):
        assert 0 < len(answer) <= 4095


def _j1939(data: bytes) -> None:
    ids, lengths, payload = frames_of(
        data, (EXTENDED | 0x18ECFF01, EXTENDED | 0x18EBFF01, EXTENDED | 0x18FECA01)
    )
    codes = TroubleCodes(len)
    for _row, key, message in Transport().feed(ids, lengths, payload):
        codes.take(key, message)
        codes.take(EXTENDED | 0x18FECA01, message)
