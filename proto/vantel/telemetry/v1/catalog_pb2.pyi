from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SignalType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SIGNAL_TYPE_UNSPECIFIED: _ClassVar[SignalType]
    SIGNAL_TYPE_FLOAT64: _ClassVar[SignalType]
    SIGNAL_TYPE_FLOAT32: _ClassVar[SignalType]
    SIGNAL_TYPE_INT64: _ClassVar[SignalType]
    SIGNAL_TYPE_UINT64: _ClassVar[SignalType]
    SIGNAL_TYPE_BOOL: _ClassVar[SignalType]
    SIGNAL_TYPE_ENUM: _ClassVar[SignalType]
    SIGNAL_TYPE_STRING: _ClassVar[SignalType]
SIGNAL_TYPE_UNSPECIFIED: SignalType
SIGNAL_TYPE_FLOAT64: SignalType
SIGNAL_TYPE_FLOAT32: SignalType
SIGNAL_TYPE_INT64: SignalType
SIGNAL_TYPE_UINT64: SignalType
SIGNAL_TYPE_BOOL: SignalType
SIGNAL_TYPE_ENUM: SignalType
SIGNAL_TYPE_STRING: SignalType

class SignalPolicy(_message.Message):
    __slots__ = ("min", "max", "rate_per_s_max", "stuck_s_max", "silence_s_max")
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    RATE_PER_S_MAX_FIELD_NUMBER: _ClassVar[int]
    STUCK_S_MAX_FIELD_NUMBER: _ClassVar[int]
    SILENCE_S_MAX_FIELD_NUMBER: _ClassVar[int]
    min: float
    max: float
    rate_per_s_max: float
    stuck_s_max: float
    silence_s_max: float
    def __init__(self, min: _Optional[float] = ..., max: _Optional[float] = ..., rate_per_s_max: _Optional[float] = ..., stuck_s_max: _Optional[float] = ..., silence_s_max: _Optional[float] = ...) -> None: ...

class CatalogEntry(_message.Message):
    __slots__ = ("id", "name", "unit", "type", "scale", "offset", "group", "labels", "policy", "simulated")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    SIMULATED_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    unit: str
    type: SignalType
    scale: float
    offset: float
    group: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    policy: SignalPolicy
    simulated: bool
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., unit: _Optional[str] = ..., type: _Optional[_Union[SignalType, str]] = ..., scale: _Optional[float] = ..., offset: _Optional[float] = ..., group: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ..., policy: _Optional[_Union[SignalPolicy, _Mapping]] = ..., simulated: _Optional[bool] = ...) -> None: ...

class Catalog(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[CatalogEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[CatalogEntry, _Mapping]]] = ...) -> None: ...

class Birth(_message.Message):
    __slots__ = ("catalog", "catalog_hash", "agent_version", "t_mono_ns", "boot_id", "sources")
    CATALOG_FIELD_NUMBER: _ClassVar[int]
    CATALOG_HASH_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    T_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    catalog: Catalog
    catalog_hash: int
    agent_version: str
    t_mono_ns: int
    boot_id: bytes
    sources: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, catalog: _Optional[_Union[Catalog, _Mapping]] = ..., catalog_hash: _Optional[int] = ..., agent_version: _Optional[str] = ..., t_mono_ns: _Optional[int] = ..., boot_id: _Optional[bytes] = ..., sources: _Optional[_Iterable[str]] = ...) -> None: ...

class Death(_message.Message):
    __slots__ = ("van", "epoch_counter", "epoch_random", "graceful")
    VAN_FIELD_NUMBER: _ClassVar[int]
    EPOCH_COUNTER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_RANDOM_FIELD_NUMBER: _ClassVar[int]
    GRACEFUL_FIELD_NUMBER: _ClassVar[int]
    van: str
    epoch_counter: int
    epoch_random: int
    graceful: bool
    def __init__(self, van: _Optional[str] = ..., epoch_counter: _Optional[int] = ..., epoch_random: _Optional[int] = ..., graceful: _Optional[bool] = ...) -> None: ...
