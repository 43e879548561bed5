from vantel.telemetry.v1 import identity_pb2 as _identity_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClockSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLOCK_SOURCE_UNSPECIFIED: _ClassVar[ClockSource]
    CLOCK_SOURCE_NONE: _ClassVar[ClockSource]
    CLOCK_SOURCE_NTP: _ClassVar[ClockSource]
    CLOCK_SOURCE_PTP: _ClassVar[ClockSource]
    CLOCK_SOURCE_GNSS: _ClassVar[ClockSource]
    CLOCK_SOURCE_RECORDING: _ClassVar[ClockSource]
CLOCK_SOURCE_UNSPECIFIED: ClockSource
CLOCK_SOURCE_NONE: ClockSource
CLOCK_SOURCE_NTP: ClockSource
CLOCK_SOURCE_PTP: ClockSource
CLOCK_SOURCE_GNSS: ClockSource
CLOCK_SOURCE_RECORDING: ClockSource

class Envelope(_message.Message):
    __slots__ = ("van", "epoch", "delivery_class", "seq", "kind", "catalog_hash", "replayed", "simulated", "payload")
    VAN_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_CLASS_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CATALOG_HASH_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    SIMULATED_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    van: str
    epoch: _identity_pb2.Epoch
    delivery_class: _identity_pb2.DeliveryClass
    seq: int
    kind: _identity_pb2.PayloadKind
    catalog_hash: int
    replayed: bool
    simulated: bool
    payload: bytes
    def __init__(self, van: _Optional[str] = ..., epoch: _Optional[_Union[_identity_pb2.Epoch, _Mapping]] = ..., delivery_class: _Optional[_Union[_identity_pb2.DeliveryClass, str]] = ..., seq: _Optional[int] = ..., kind: _Optional[_Union[_identity_pb2.PayloadKind, str]] = ..., catalog_hash: _Optional[int] = ..., replayed: _Optional[bool] = ..., simulated: _Optional[bool] = ..., payload: _Optional[bytes] = ...) -> None: ...

class ClockStamp(_message.Message):
    __slots__ = ("boot_id", "offset_ns", "source", "error_ns_max")
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_NS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ERROR_NS_MAX_FIELD_NUMBER: _ClassVar[int]
    boot_id: bytes
    offset_ns: int
    source: ClockSource
    error_ns_max: int
    def __init__(self, boot_id: _Optional[bytes] = ..., offset_ns: _Optional[int] = ..., source: _Optional[_Union[ClockSource, str]] = ..., error_ns_max: _Optional[int] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("envelope", "clock")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    CLOCK_FIELD_NUMBER: _ClassVar[int]
    envelope: bytes
    clock: ClockStamp
    def __init__(self, envelope: _Optional[bytes] = ..., clock: _Optional[_Union[ClockStamp, _Mapping]] = ...) -> None: ...

class BundledMessage(_message.Message):
    __slots__ = ("van", "message", "received_unix_ns")
    VAN_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    van: str
    message: bytes
    received_unix_ns: int
    def __init__(self, van: _Optional[str] = ..., message: _Optional[bytes] = ..., received_unix_ns: _Optional[int] = ...) -> None: ...

class Bundle(_message.Message):
    __slots__ = ("shard", "messages")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    shard: int
    messages: _containers.RepeatedCompositeFieldContainer[BundledMessage]
    def __init__(self, shard: _Optional[int] = ..., messages: _Optional[_Iterable[_Union[BundledMessage, _Mapping]]] = ...) -> None: ...
