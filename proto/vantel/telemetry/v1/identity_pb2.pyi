from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class DeliveryClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DELIVERY_CLASS_UNSPECIFIED: _ClassVar[DeliveryClass]
    DELIVERY_CLASS_P0: _ClassVar[DeliveryClass]
    DELIVERY_CLASS_P1: _ClassVar[DeliveryClass]
    DELIVERY_CLASS_P2: _ClassVar[DeliveryClass]

class PayloadKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PAYLOAD_KIND_UNSPECIFIED: _ClassVar[PayloadKind]
    PAYLOAD_KIND_BATCH: _ClassVar[PayloadKind]
    PAYLOAD_KIND_EVENT: _ClassVar[PayloadKind]
    PAYLOAD_KIND_BIRTH: _ClassVar[PayloadKind]
    PAYLOAD_KIND_HEALTH: _ClassVar[PayloadKind]
    PAYLOAD_KIND_TOMBSTONE: _ClassVar[PayloadKind]
    PAYLOAD_KIND_COMMAND_RESULT: _ClassVar[PayloadKind]
    PAYLOAD_KIND_CAPTURE_SUMMARY: _ClassVar[PayloadKind]
    PAYLOAD_KIND_CAPTURE_PART: _ClassVar[PayloadKind]
    PAYLOAD_KIND_CAMPAIGN_REPORT: _ClassVar[PayloadKind]
    PAYLOAD_KIND_DIAGNOSTICS: _ClassVar[PayloadKind]
DELIVERY_CLASS_UNSPECIFIED: DeliveryClass
DELIVERY_CLASS_P0: DeliveryClass
DELIVERY_CLASS_P1: DeliveryClass
DELIVERY_CLASS_P2: DeliveryClass
PAYLOAD_KIND_UNSPECIFIED: PayloadKind
PAYLOAD_KIND_BATCH: PayloadKind
PAYLOAD_KIND_EVENT: PayloadKind
PAYLOAD_KIND_BIRTH: PayloadKind
PAYLOAD_KIND_HEALTH: PayloadKind
PAYLOAD_KIND_TOMBSTONE: PayloadKind
PAYLOAD_KIND_COMMAND_RESULT: PayloadKind
PAYLOAD_KIND_CAPTURE_SUMMARY: PayloadKind
PAYLOAD_KIND_CAPTURE_PART: PayloadKind
PAYLOAD_KIND_CAMPAIGN_REPORT: PayloadKind
PAYLOAD_KIND_DIAGNOSTICS: PayloadKind

class Epoch(_message.Message):
    __slots__ = ("counter", "random")
    COUNTER_FIELD_NUMBER: _ClassVar[int]
    RANDOM_FIELD_NUMBER: _ClassVar[int]
    counter: int
    random: int
    def __init__(self, counter: _Optional[int] = ..., random: _Optional[int] = ...) -> None: ...

class SeqRange(_message.Message):
    __slots__ = ("first", "last")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...
