from vantel.telemetry.v1 import identity_pb2 as _identity_pb2
from vantel.telemetry.v1 import payload_pb2 as _payload_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TimeSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TIME_SOURCE_UNSPECIFIED: _ClassVar[TimeSource]
    TIME_SOURCE_EVICTED: _ClassVar[TimeSource]
    TIME_SOURCE_REJECTED: _ClassVar[TimeSource]
    TIME_SOURCE_STORED: _ClassVar[TimeSource]
TIME_SOURCE_UNSPECIFIED: TimeSource
TIME_SOURCE_EVICTED: TimeSource
TIME_SOURCE_REJECTED: TimeSource
TIME_SOURCE_STORED: TimeSource

class RejectedRange(_message.Message):
    __slots__ = ("range", "reason")
    RANGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    range: _identity_pb2.SeqRange
    reason: str
    def __init__(self, range: _Optional[_Union[_identity_pb2.SeqRange, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class TimedRange(_message.Message):
    __slots__ = ("range", "first_unix_ms", "last_unix_ms", "source")
    RANGE_FIELD_NUMBER: _ClassVar[int]
    FIRST_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    range: _identity_pb2.SeqRange
    first_unix_ms: int
    last_unix_ms: int
    source: TimeSource
    def __init__(self, range: _Optional[_Union[_identity_pb2.SeqRange, _Mapping]] = ..., first_unix_ms: _Optional[int] = ..., last_unix_ms: _Optional[int] = ..., source: _Optional[_Union[TimeSource, str]] = ...) -> None: ...

class SecondsRange(_message.Message):
    __slots__ = ("first_unix_s", "last_unix_s")
    FIRST_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    LAST_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    first_unix_s: int
    last_unix_s: int
    def __init__(self, first_unix_s: _Optional[int] = ..., last_unix_s: _Optional[int] = ...) -> None: ...

class ShedSeconds(_message.Message):
    __slots__ = ("reason", "seconds")
    REASON_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    seconds: _containers.RepeatedCompositeFieldContainer[SecondsRange]
    def __init__(self, reason: _Optional[str] = ..., seconds: _Optional[_Iterable[_Union[SecondsRange, _Mapping]]] = ...) -> None: ...

class CloudAccount(_message.Message):
    __slots__ = ("van", "epoch", "delivery_class", "stored", "rejected", "points", "samples", "duplicates", "lines_refused", "values_unrepresentable", "times", "covered", "shed")
    VAN_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_CLASS_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    LINES_REFUSED_FIELD_NUMBER: _ClassVar[int]
    VALUES_UNREPRESENTABLE_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    COVERED_FIELD_NUMBER: _ClassVar[int]
    SHED_FIELD_NUMBER: _ClassVar[int]
    van: str
    epoch: _identity_pb2.Epoch
    delivery_class: _identity_pb2.DeliveryClass
    stored: _containers.RepeatedCompositeFieldContainer[_identity_pb2.SeqRange]
    rejected: _containers.RepeatedCompositeFieldContainer[RejectedRange]
    points: int
    samples: int
    duplicates: int
    lines_refused: int
    values_unrepresentable: int
    times: _containers.RepeatedCompositeFieldContainer[TimedRange]
    covered: _containers.RepeatedCompositeFieldContainer[SecondsRange]
    shed: _containers.RepeatedCompositeFieldContainer[ShedSeconds]
    def __init__(self, van: _Optional[str] = ..., epoch: _Optional[_Union[_identity_pb2.Epoch, _Mapping]] = ..., delivery_class: _Optional[_Union[_identity_pb2.DeliveryClass, str]] = ..., stored: _Optional[_Iterable[_Union[_identity_pb2.SeqRange, _Mapping]]] = ..., rejected: _Optional[_Iterable[_Union[RejectedRange, _Mapping]]] = ..., points: _Optional[int] = ..., samples: _Optional[int] = ..., duplicates: _Optional[int] = ..., lines_refused: _Optional[int] = ..., values_unrepresentable: _Optional[int] = ..., times: _Optional[_Iterable[_Union[TimedRange, _Mapping]]] = ..., covered: _Optional[_Iterable[_Union[SecondsRange, _Mapping]]] = ..., shed: _Optional[_Iterable[_Union[ShedSeconds, _Mapping]]] = ...) -> None: ...

class EpochSamples(_message.Message):
    __slots__ = ("epoch", "samples_produced", "shed")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_PRODUCED_FIELD_NUMBER: _ClassVar[int]
    SHED_FIELD_NUMBER: _ClassVar[int]
    epoch: _identity_pb2.Epoch
    samples_produced: int
    shed: _containers.RepeatedCompositeFieldContainer[_payload_pb2.Shed]
    def __init__(self, epoch: _Optional[_Union[_identity_pb2.Epoch, _Mapping]] = ..., samples_produced: _Optional[int] = ..., shed: _Optional[_Iterable[_Union[_payload_pb2.Shed, _Mapping]]] = ...) -> None: ...

class VanAccount(_message.Message):
    __slots__ = ("van", "t_unix_ns", "accounts", "samples")
    VAN_FIELD_NUMBER: _ClassVar[int]
    T_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    van: str
    t_unix_ns: int
    accounts: _containers.RepeatedCompositeFieldContainer[_payload_pb2.ClassAccount]
    samples: _containers.RepeatedCompositeFieldContainer[EpochSamples]
    def __init__(self, van: _Optional[str] = ..., t_unix_ns: _Optional[int] = ..., accounts: _Optional[_Iterable[_Union[_payload_pb2.ClassAccount, _Mapping]]] = ..., samples: _Optional[_Iterable[_Union[EpochSamples, _Mapping]]] = ...) -> None: ...

class DeadLetter(_message.Message):
    __slots__ = ("van", "reason", "detail", "message", "topic", "received_unix_ns", "refused_unix_ns", "catalog_hash", "mqtt_topic")
    VAN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    CATALOG_HASH_FIELD_NUMBER: _ClassVar[int]
    MQTT_TOPIC_FIELD_NUMBER: _ClassVar[int]
    van: str
    reason: str
    detail: str
    message: bytes
    topic: str
    received_unix_ns: int
    refused_unix_ns: int
    catalog_hash: int
    mqtt_topic: str
    def __init__(self, van: _Optional[str] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ..., message: _Optional[bytes] = ..., topic: _Optional[str] = ..., received_unix_ns: _Optional[int] = ..., refused_unix_ns: _Optional[int] = ..., catalog_hash: _Optional[int] = ..., mqtt_topic: _Optional[str] = ...) -> None: ...
