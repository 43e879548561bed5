from vantel.telemetry.v1 import identity_pb2 as _identity_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Fidelity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FIDELITY_UNSPECIFIED: _ClassVar[Fidelity]
    FIDELITY_ROLLUP: _ClassVar[Fidelity]
    FIDELITY_FULL: _ClassVar[Fidelity]

class CoordinateSystem(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COORDINATE_SYSTEM_UNSPECIFIED: _ClassVar[CoordinateSystem]
    COORDINATE_SYSTEM_WGS84: _ClassVar[CoordinateSystem]
    COORDINATE_SYSTEM_GCJ02: _ClassVar[CoordinateSystem]

class Severity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEVERITY_UNSPECIFIED: _ClassVar[Severity]
    SEVERITY_INFO: _ClassVar[Severity]
    SEVERITY_WARNING: _ClassVar[Severity]
    SEVERITY_CRITICAL: _ClassVar[Severity]
FIDELITY_UNSPECIFIED: Fidelity
FIDELITY_ROLLUP: Fidelity
FIDELITY_FULL: Fidelity
COORDINATE_SYSTEM_UNSPECIFIED: CoordinateSystem
COORDINATE_SYSTEM_WGS84: CoordinateSystem
COORDINATE_SYSTEM_GCJ02: CoordinateSystem
SEVERITY_UNSPECIFIED: Severity
SEVERITY_INFO: Severity
SEVERITY_WARNING: Severity
SEVERITY_CRITICAL: Severity

class Batch(_message.Message):
    __slots__ = ("start_mono_ns", "end_mono_ns", "fidelity", "coordinate_system", "columns", "sample_count", "shed")
    START_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    END_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    FIDELITY_FIELD_NUMBER: _ClassVar[int]
    COORDINATE_SYSTEM_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHED_FIELD_NUMBER: _ClassVar[int]
    start_mono_ns: int
    end_mono_ns: int
    fidelity: Fidelity
    coordinate_system: CoordinateSystem
    columns: bytes
    sample_count: int
    shed: _containers.RepeatedCompositeFieldContainer[Shed]
    def __init__(self, start_mono_ns: _Optional[int] = ..., end_mono_ns: _Optional[int] = ..., fidelity: _Optional[_Union[Fidelity, str]] = ..., coordinate_system: _Optional[_Union[CoordinateSystem, str]] = ..., columns: _Optional[bytes] = ..., sample_count: _Optional[int] = ..., shed: _Optional[_Iterable[_Union[Shed, _Mapping]]] = ...) -> None: ...

class Shed(_message.Message):
    __slots__ = ("reason", "samples")
    REASON_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    reason: str
    samples: int
    def __init__(self, reason: _Optional[str] = ..., samples: _Optional[int] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("signal_id", "channel", "t_mono_ns", "value", "score", "threshold", "expected", "severity", "injected", "detector")
    SIGNAL_ID_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    T_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    INJECTED_FIELD_NUMBER: _ClassVar[int]
    DETECTOR_FIELD_NUMBER: _ClassVar[int]
    signal_id: int
    channel: str
    t_mono_ns: int
    value: float
    score: float
    threshold: float
    expected: float
    severity: Severity
    injected: str
    detector: str
    def __init__(self, signal_id: _Optional[int] = ..., channel: _Optional[str] = ..., t_mono_ns: _Optional[int] = ..., value: _Optional[float] = ..., score: _Optional[float] = ..., threshold: _Optional[float] = ..., expected: _Optional[float] = ..., severity: _Optional[_Union[Severity, str]] = ..., injected: _Optional[str] = ..., detector: _Optional[str] = ...) -> None: ...

class ClassAccount(_message.Message):
    __slots__ = ("epoch", "delivery_class", "produced", "acked", "evicted", "power_loss")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_CLASS_FIELD_NUMBER: _ClassVar[int]
    PRODUCED_FIELD_NUMBER: _ClassVar[int]
    ACKED_FIELD_NUMBER: _ClassVar[int]
    EVICTED_FIELD_NUMBER: _ClassVar[int]
    POWER_LOSS_FIELD_NUMBER: _ClassVar[int]
    epoch: _identity_pb2.Epoch
    delivery_class: _identity_pb2.DeliveryClass
    produced: int
    acked: _containers.RepeatedCompositeFieldContainer[_identity_pb2.SeqRange]
    evicted: _containers.RepeatedCompositeFieldContainer[Eviction]
    power_loss: PowerLoss
    def __init__(self, epoch: _Optional[_Union[_identity_pb2.Epoch, _Mapping]] = ..., delivery_class: _Optional[_Union[_identity_pb2.DeliveryClass, str]] = ..., produced: _Optional[int] = ..., acked: _Optional[_Iterable[_Union[_identity_pb2.SeqRange, _Mapping]]] = ..., evicted: _Optional[_Iterable[_Union[Eviction, _Mapping]]] = ..., power_loss: _Optional[_Union[PowerLoss, _Mapping]] = ...) -> None: ...

class PowerLoss(_message.Message):
    __slots__ = ("first", "bytes_max", "seconds_max", "after_unix_ns")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    SECONDS_MAX_FIELD_NUMBER: _ClassVar[int]
    AFTER_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    first: int
    bytes_max: int
    seconds_max: float
    after_unix_ns: int
    def __init__(self, first: _Optional[int] = ..., bytes_max: _Optional[int] = ..., seconds_max: _Optional[float] = ..., after_unix_ns: _Optional[int] = ...) -> None: ...

class Eviction(_message.Message):
    __slots__ = ("range", "reason")
    RANGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    range: _identity_pb2.SeqRange
    reason: str
    def __init__(self, range: _Optional[_Union[_identity_pb2.SeqRange, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class Health(_message.Message):
    __slots__ = ("t_mono_ns", "accounts", "samples_produced", "shed", "gauges")
    class GaugesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    T_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_PRODUCED_FIELD_NUMBER: _ClassVar[int]
    SHED_FIELD_NUMBER: _ClassVar[int]
    GAUGES_FIELD_NUMBER: _ClassVar[int]
    t_mono_ns: int
    accounts: _containers.RepeatedCompositeFieldContainer[ClassAccount]
    samples_produced: int
    shed: _containers.RepeatedCompositeFieldContainer[Shed]
    gauges: _containers.ScalarMap[str, float]
    def __init__(self, t_mono_ns: _Optional[int] = ..., accounts: _Optional[_Iterable[_Union[ClassAccount, _Mapping]]] = ..., samples_produced: _Optional[int] = ..., shed: _Optional[_Iterable[_Union[Shed, _Mapping]]] = ..., gauges: _Optional[_Mapping[str, float]] = ...) -> None: ...

class Tombstone(_message.Message):
    __slots__ = ("epoch", "delivery_class", "eviction", "first_unix_ns", "last_unix_ns")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_CLASS_FIELD_NUMBER: _ClassVar[int]
    EVICTION_FIELD_NUMBER: _ClassVar[int]
    FIRST_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    LAST_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    epoch: _identity_pb2.Epoch
    delivery_class: _identity_pb2.DeliveryClass
    eviction: Eviction
    first_unix_ns: int
    last_unix_ns: int
    def __init__(self, epoch: _Optional[_Union[_identity_pb2.Epoch, _Mapping]] = ..., delivery_class: _Optional[_Union[_identity_pb2.DeliveryClass, str]] = ..., eviction: _Optional[_Union[Eviction, _Mapping]] = ..., first_unix_ns: _Optional[int] = ..., last_unix_ns: _Optional[int] = ...) -> None: ...
