from vantel.telemetry.v1 import identity_pb2 as _identity_pb2
from vantel.telemetry.v1 import payload_pb2 as _payload_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RejectedRange(_message.Message):
    __slots__ = ("range", "reason")
    RANGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    range: _identity_pb2.SeqRange
    reason: str
    def __init__(self, range: _Optional[_Union[_identity_pb2.SeqRange, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class CloudAccount(_message.Message):
    __slots__ = ("van", "epoch", "delivery_class", "stored", "rejected", "points", "samples", "duplicates", "lines_refused", "values_unrepresentable")
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
    def __init__(self, van: _Optional[str] = ..., epoch: _Optional[_Union[_identity_pb2.Epoch, _Mapping]] = ..., delivery_class: _Optional[_Union[_identity_pb2.DeliveryClass, str]] = ..., stored: _Optional[_Iterable[_Union[_identity_pb2.SeqRange, _Mapping]]] = ..., rejected: _Optional[_Iterable[_Union[RejectedRange, _Mapping]]] = ..., points: _Optional[int] = ..., samples: _Optional[int] = ..., duplicates: _Optional[int] = ..., lines_refused: _Optional[int] = ..., values_unrepresentable: _Optional[int] = ...) -> None: ...

class VanAccount(_message.Message):
    __slots__ = ("van", "t_unix_ns", "accounts")
    VAN_FIELD_NUMBER: _ClassVar[int]
    T_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    van: str
    t_unix_ns: int
    accounts: _containers.RepeatedCompositeFieldContainer[_payload_pb2.ClassAccount]
    def __init__(self, van: _Optional[str] = ..., t_unix_ns: _Optional[int] = ..., accounts: _Optional[_Iterable[_Union[_payload_pb2.ClassAccount, _Mapping]]] = ...) -> None: ...

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
