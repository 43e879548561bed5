from vantel.telemetry.v1 import catalog_pb2 as _catalog_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClientMessage(_message.Message):
    __slots__ = ("declaration", "samples")
    DECLARATION_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    declaration: Declaration
    samples: Samples
    def __init__(self, declaration: _Optional[_Union[Declaration, _Mapping]] = ..., samples: _Optional[_Union[Samples, _Mapping]] = ...) -> None: ...

class Declaration(_message.Message):
    __slots__ = ("client", "signals")
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    client: str
    signals: _containers.RepeatedCompositeFieldContainer[DeclaredSignal]
    def __init__(self, client: _Optional[str] = ..., signals: _Optional[_Iterable[_Union[DeclaredSignal, _Mapping]]] = ...) -> None: ...

class DeclaredSignal(_message.Message):
    __slots__ = ("name", "unit", "type", "group", "labels")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    unit: str
    type: _catalog_pb2.SignalType
    group: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., unit: _Optional[str] = ..., type: _Optional[_Union[_catalog_pb2.SignalType, str]] = ..., group: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ...) -> None: ...

class Samples(_message.Message):
    __slots__ = ("signal", "t_mono_ns", "value", "texts")
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    T_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    signal: bytes
    t_mono_ns: bytes
    value: bytes
    texts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, signal: _Optional[bytes] = ..., t_mono_ns: _Optional[bytes] = ..., value: _Optional[bytes] = ..., texts: _Optional[_Iterable[str]] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("refusal", "waiting")
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    refusal: str
    waiting: int
    def __init__(self, refusal: _Optional[str] = ..., waiting: _Optional[int] = ...) -> None: ...
