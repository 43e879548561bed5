from vantel.telemetry.v1 import identity_pb2 as _identity_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CampaignNetwork(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CAMPAIGN_NETWORK_UNSPECIFIED: _ClassVar[CampaignNetwork]
    CAMPAIGN_NETWORK_ANY: _ClassVar[CampaignNetwork]
    CAMPAIGN_NETWORK_UNMETERED: _ClassVar[CampaignNetwork]

class CommandStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMMAND_STATUS_UNSPECIFIED: _ClassVar[CommandStatus]
    COMMAND_STATUS_DONE: _ClassVar[CommandStatus]
    COMMAND_STATUS_REFUSED: _ClassVar[CommandStatus]
    COMMAND_STATUS_EXPIRED: _ClassVar[CommandStatus]
    COMMAND_STATUS_UNSUPPORTED: _ClassVar[CommandStatus]
CAMPAIGN_NETWORK_UNSPECIFIED: CampaignNetwork
CAMPAIGN_NETWORK_ANY: CampaignNetwork
CAMPAIGN_NETWORK_UNMETERED: CampaignNetwork
COMMAND_STATUS_UNSPECIFIED: CommandStatus
COMMAND_STATUS_DONE: CommandStatus
COMMAND_STATUS_REFUSED: CommandStatus
COMMAND_STATUS_EXPIRED: CommandStatus
COMMAND_STATUS_UNSUPPORTED: CommandStatus

class AckedClass(_message.Message):
    __slots__ = ("epoch", "delivery_class", "ranges")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_CLASS_FIELD_NUMBER: _ClassVar[int]
    RANGES_FIELD_NUMBER: _ClassVar[int]
    epoch: _identity_pb2.Epoch
    delivery_class: _identity_pb2.DeliveryClass
    ranges: _containers.RepeatedCompositeFieldContainer[_identity_pb2.SeqRange]
    def __init__(self, epoch: _Optional[_Union[_identity_pb2.Epoch, _Mapping]] = ..., delivery_class: _Optional[_Union[_identity_pb2.DeliveryClass, str]] = ..., ranges: _Optional[_Iterable[_Union[_identity_pb2.SeqRange, _Mapping]]] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("van", "classes", "rebirth_catalog_hashes")
    VAN_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    REBIRTH_CATALOG_HASHES_FIELD_NUMBER: _ClassVar[int]
    van: str
    classes: _containers.RepeatedCompositeFieldContainer[AckedClass]
    rebirth_catalog_hashes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, van: _Optional[str] = ..., classes: _Optional[_Iterable[_Union[AckedClass, _Mapping]]] = ..., rebirth_catalog_hashes: _Optional[_Iterable[int]] = ...) -> None: ...

class CampaignSignal(_message.Message):
    __slots__ = ("signal_id", "period_s_min", "deadband", "silence_s_max", "name", "error_bound")
    SIGNAL_ID_FIELD_NUMBER: _ClassVar[int]
    PERIOD_S_MIN_FIELD_NUMBER: _ClassVar[int]
    DEADBAND_FIELD_NUMBER: _ClassVar[int]
    SILENCE_S_MAX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ERROR_BOUND_FIELD_NUMBER: _ClassVar[int]
    signal_id: int
    period_s_min: float
    deadband: float
    silence_s_max: float
    name: str
    error_bound: float
    def __init__(self, signal_id: _Optional[int] = ..., period_s_min: _Optional[float] = ..., deadband: _Optional[float] = ..., silence_s_max: _Optional[float] = ..., name: _Optional[str] = ..., error_bound: _Optional[float] = ...) -> None: ...

class Campaign(_message.Message):
    __slots__ = ("name", "version", "signals", "condition", "before_s", "after_s", "bytes_per_day_max", "start_unix_ns", "end_unix_ns", "signature", "priority", "repeat", "quiet_s", "network", "data_within_s", "hold_s", "purpose")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    BEFORE_S_FIELD_NUMBER: _ClassVar[int]
    AFTER_S_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_DAY_MAX_FIELD_NUMBER: _ClassVar[int]
    START_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    END_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    REPEAT_FIELD_NUMBER: _ClassVar[int]
    QUIET_S_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    DATA_WITHIN_S_FIELD_NUMBER: _ClassVar[int]
    HOLD_S_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    signals: _containers.RepeatedCompositeFieldContainer[CampaignSignal]
    condition: str
    before_s: float
    after_s: float
    bytes_per_day_max: int
    start_unix_ns: int
    end_unix_ns: int
    signature: bytes
    priority: int
    repeat: bool
    quiet_s: float
    network: CampaignNetwork
    data_within_s: float
    hold_s: float
    purpose: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., signals: _Optional[_Iterable[_Union[CampaignSignal, _Mapping]]] = ..., condition: _Optional[str] = ..., before_s: _Optional[float] = ..., after_s: _Optional[float] = ..., bytes_per_day_max: _Optional[int] = ..., start_unix_ns: _Optional[int] = ..., end_unix_ns: _Optional[int] = ..., signature: _Optional[bytes] = ..., priority: _Optional[int] = ..., repeat: _Optional[bool] = ..., quiet_s: _Optional[float] = ..., network: _Optional[_Union[CampaignNetwork, str]] = ..., data_within_s: _Optional[float] = ..., hold_s: _Optional[float] = ..., purpose: _Optional[str] = ...) -> None: ...

class CampaignSet(_message.Message):
    __slots__ = ("van", "generation", "campaigns")
    VAN_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGNS_FIELD_NUMBER: _ClassVar[int]
    van: str
    generation: int
    campaigns: _containers.RepeatedCompositeFieldContainer[Campaign]
    def __init__(self, van: _Optional[str] = ..., generation: _Optional[int] = ..., campaigns: _Optional[_Iterable[_Union[Campaign, _Mapping]]] = ...) -> None: ...

class SignedCampaignSet(_message.Message):
    __slots__ = ("campaign_set", "signature")
    CAMPAIGN_SET_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    campaign_set: bytes
    signature: bytes
    def __init__(self, campaign_set: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class LiveView(_message.Message):
    __slots__ = ("signal_ids", "duration_s")
    SIGNAL_IDS_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    signal_ids: _containers.RepeatedScalarFieldContainer[int]
    duration_s: float
    def __init__(self, signal_ids: _Optional[_Iterable[int]] = ..., duration_s: _Optional[float] = ...) -> None: ...

class Rebirth(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Resend(_message.Message):
    __slots__ = ("epoch", "delivery_class", "range")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_CLASS_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    epoch: _identity_pb2.Epoch
    delivery_class: _identity_pb2.DeliveryClass
    range: _identity_pb2.SeqRange
    def __init__(self, epoch: _Optional[_Union[_identity_pb2.Epoch, _Mapping]] = ..., delivery_class: _Optional[_Union[_identity_pb2.DeliveryClass, str]] = ..., range: _Optional[_Union[_identity_pb2.SeqRange, _Mapping]] = ...) -> None: ...

class FetchCapture(_message.Message):
    __slots__ = ("capture_id",)
    CAPTURE_ID_FIELD_NUMBER: _ClassVar[int]
    capture_id: str
    def __init__(self, capture_id: _Optional[str] = ...) -> None: ...

class HoldCapture(_message.Message):
    __slots__ = ("capture_id", "duration_s")
    CAPTURE_ID_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    capture_id: str
    duration_s: float
    def __init__(self, capture_id: _Optional[str] = ..., duration_s: _Optional[float] = ...) -> None: ...

class FetchRange(_message.Message):
    __slots__ = ("start_unix_ns", "end_unix_ns", "signals")
    START_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    END_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    SIGNALS_FIELD_NUMBER: _ClassVar[int]
    start_unix_ns: int
    end_unix_ns: int
    signals: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, start_unix_ns: _Optional[int] = ..., end_unix_ns: _Optional[int] = ..., signals: _Optional[_Iterable[str]] = ...) -> None: ...

class Diagnostics(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Command(_message.Message):
    __slots__ = ("command_id", "expires_unix_ns", "live_view", "rebirth", "resend", "fetch_capture", "hold_capture", "fetch_range", "diagnostics")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    LIVE_VIEW_FIELD_NUMBER: _ClassVar[int]
    REBIRTH_FIELD_NUMBER: _ClassVar[int]
    RESEND_FIELD_NUMBER: _ClassVar[int]
    FETCH_CAPTURE_FIELD_NUMBER: _ClassVar[int]
    HOLD_CAPTURE_FIELD_NUMBER: _ClassVar[int]
    FETCH_RANGE_FIELD_NUMBER: _ClassVar[int]
    DIAGNOSTICS_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    expires_unix_ns: int
    live_view: LiveView
    rebirth: Rebirth
    resend: Resend
    fetch_capture: FetchCapture
    hold_capture: HoldCapture
    fetch_range: FetchRange
    diagnostics: Diagnostics
    def __init__(self, command_id: _Optional[str] = ..., expires_unix_ns: _Optional[int] = ..., live_view: _Optional[_Union[LiveView, _Mapping]] = ..., rebirth: _Optional[_Union[Rebirth, _Mapping]] = ..., resend: _Optional[_Union[Resend, _Mapping]] = ..., fetch_capture: _Optional[_Union[FetchCapture, _Mapping]] = ..., hold_capture: _Optional[_Union[HoldCapture, _Mapping]] = ..., fetch_range: _Optional[_Union[FetchRange, _Mapping]] = ..., diagnostics: _Optional[_Union[Diagnostics, _Mapping]] = ...) -> None: ...

class CommandResult(_message.Message):
    __slots__ = ("command_id", "status", "detail")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    status: CommandStatus
    detail: str
    def __init__(self, command_id: _Optional[str] = ..., status: _Optional[_Union[CommandStatus, str]] = ..., detail: _Optional[str] = ...) -> None: ...
