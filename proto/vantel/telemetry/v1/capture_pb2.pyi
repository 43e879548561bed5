from vantel.telemetry.v1 import payload_pb2 as _payload_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CaptureState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CAPTURE_STATE_UNSPECIFIED: _ClassVar[CaptureState]
    CAPTURE_STATE_OPEN: _ClassVar[CaptureState]
    CAPTURE_STATE_COMPLETE: _ClassVar[CaptureState]
    CAPTURE_STATE_INTERRUPTED: _ClassVar[CaptureState]

class CampaignStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CAMPAIGN_STATUS_UNSPECIFIED: _ClassVar[CampaignStatus]
    CAMPAIGN_STATUS_ACTIVE: _ClassVar[CampaignStatus]
    CAMPAIGN_STATUS_REJECTED: _ClassVar[CampaignStatus]
    CAMPAIGN_STATUS_EXPIRED: _ClassVar[CampaignStatus]
    CAMPAIGN_STATUS_OVER_BUDGET: _ClassVar[CampaignStatus]
    CAMPAIGN_STATUS_WAITING: _ClassVar[CampaignStatus]
    CAMPAIGN_STATUS_SILENT: _ClassVar[CampaignStatus]
CAPTURE_STATE_UNSPECIFIED: CaptureState
CAPTURE_STATE_OPEN: CaptureState
CAPTURE_STATE_COMPLETE: CaptureState
CAPTURE_STATE_INTERRUPTED: CaptureState
CAMPAIGN_STATUS_UNSPECIFIED: CampaignStatus
CAMPAIGN_STATUS_ACTIVE: CampaignStatus
CAMPAIGN_STATUS_REJECTED: CampaignStatus
CAMPAIGN_STATUS_EXPIRED: CampaignStatus
CAMPAIGN_STATUS_OVER_BUDGET: CampaignStatus
CAMPAIGN_STATUS_WAITING: CampaignStatus
CAMPAIGN_STATUS_SILENT: CampaignStatus

class CaptureTrigger(_message.Message):
    __slots__ = ("campaign", "version", "t_mono_ns")
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    T_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    campaign: str
    version: int
    t_mono_ns: int
    def __init__(self, campaign: _Optional[str] = ..., version: _Optional[int] = ..., t_mono_ns: _Optional[int] = ...) -> None: ...

class CaptureGap(_message.Message):
    __slots__ = ("start_mono_ns", "end_mono_ns", "reason")
    START_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    END_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    start_mono_ns: int
    end_mono_ns: int
    reason: str
    def __init__(self, start_mono_ns: _Optional[int] = ..., end_mono_ns: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class CaptureSummary(_message.Message):
    __slots__ = ("capture_id", "state", "triggers", "start_mono_ns", "end_mono_ns", "parts", "samples", "bytes", "signal_ids", "gaps", "body_waits")
    CAPTURE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TRIGGERS_FIELD_NUMBER: _ClassVar[int]
    START_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    END_MONO_NS_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_IDS_FIELD_NUMBER: _ClassVar[int]
    GAPS_FIELD_NUMBER: _ClassVar[int]
    BODY_WAITS_FIELD_NUMBER: _ClassVar[int]
    capture_id: str
    state: CaptureState
    triggers: _containers.RepeatedCompositeFieldContainer[CaptureTrigger]
    start_mono_ns: int
    end_mono_ns: int
    parts: int
    samples: int
    bytes: int
    signal_ids: _containers.RepeatedScalarFieldContainer[int]
    gaps: _containers.RepeatedCompositeFieldContainer[CaptureGap]
    body_waits: bool
    def __init__(self, capture_id: _Optional[str] = ..., state: _Optional[_Union[CaptureState, str]] = ..., triggers: _Optional[_Iterable[_Union[CaptureTrigger, _Mapping]]] = ..., start_mono_ns: _Optional[int] = ..., end_mono_ns: _Optional[int] = ..., parts: _Optional[int] = ..., samples: _Optional[int] = ..., bytes: _Optional[int] = ..., signal_ids: _Optional[_Iterable[int]] = ..., gaps: _Optional[_Iterable[_Union[CaptureGap, _Mapping]]] = ..., body_waits: _Optional[bool] = ...) -> None: ...

class CapturePart(_message.Message):
    __slots__ = ("capture_id", "part", "batch", "last_values")
    CAPTURE_ID_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    LAST_VALUES_FIELD_NUMBER: _ClassVar[int]
    capture_id: str
    part: int
    batch: _payload_pb2.Batch
    last_values: bool
    def __init__(self, capture_id: _Optional[str] = ..., part: _Optional[int] = ..., batch: _Optional[_Union[_payload_pb2.Batch, _Mapping]] = ..., last_values: _Optional[bool] = ...) -> None: ...

class CampaignState(_message.Message):
    __slots__ = ("name", "version", "status", "reason", "detail", "position", "captures", "bytes_today", "first_data_unix_ns", "bodies_waiting")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    CAPTURES_FIELD_NUMBER: _ClassVar[int]
    BYTES_TODAY_FIELD_NUMBER: _ClassVar[int]
    FIRST_DATA_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    BODIES_WAITING_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    status: CampaignStatus
    reason: str
    detail: str
    position: int
    captures: int
    bytes_today: int
    first_data_unix_ns: int
    bodies_waiting: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., status: _Optional[_Union[CampaignStatus, str]] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ..., position: _Optional[int] = ..., captures: _Optional[int] = ..., bytes_today: _Optional[int] = ..., first_data_unix_ns: _Optional[int] = ..., bodies_waiting: _Optional[int] = ...) -> None: ...

class CampaignReport(_message.Message):
    __slots__ = ("generation", "set_hash", "refused_generation", "refused_reason", "refused_detail", "campaigns")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    SET_HASH_FIELD_NUMBER: _ClassVar[int]
    REFUSED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    REFUSED_REASON_FIELD_NUMBER: _ClassVar[int]
    REFUSED_DETAIL_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGNS_FIELD_NUMBER: _ClassVar[int]
    generation: int
    set_hash: str
    refused_generation: int
    refused_reason: str
    refused_detail: str
    campaigns: _containers.RepeatedCompositeFieldContainer[CampaignState]
    def __init__(self, generation: _Optional[int] = ..., set_hash: _Optional[str] = ..., refused_generation: _Optional[int] = ..., refused_reason: _Optional[str] = ..., refused_detail: _Optional[str] = ..., campaigns: _Optional[_Iterable[_Union[CampaignState, _Mapping]]] = ...) -> None: ...

class DiagnosticsText(_message.Message):
    __slots__ = ("command_id", "text")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    text: str
    def __init__(self, command_id: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...
