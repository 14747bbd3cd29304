"""The payloads of the message types, and their validation.

Each payload is a ``TypedDict``. Its annotations serve type checkers and the validation, whose rules are in
``Annotated``. Unknown fields are kept unchanged, since peers may add fields. A frame of an unknown type is refused when
its header is read, with ``InvalidMessageType`` (check 3).

Units: times are Unix seconds (UTC), rates are in hertz, spans in seconds. A signal is ``[samples]`` or
``[leads, samples]``; the physical value of an integer sample is ``(count - baseline) / gain``, in ``units``,
as in WFDB.
"""

# No ``from __future__ import annotations`` here: the annotations are read at run time, as objects.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    Required,
    TypeAlias,
    TypedDict,
    TypeGuard,
    get_args,
    get_type_hints,
    overload,
)
from uuid import UUID

import numpy as np
import numpy.typing as npt

from .. import _signatures
from .._core import FieldTable, Message
from .._core.path import path_text
from ..errors import InvalidDataFormat, MissingRequiredFields
from ..protocol import (
    DIGEST_SIZE,
    KEY_NAME_SIZE,
    LARGEST_SEQUENCE,
    LARGEST_STREAM_ID,
    MAX_DIGESTS,
    SIGNATURE_SIZE,
    TEMPLATES_IN_FORCE,
    Check,
    MessageType,
)
from . import rules, template_rules
from .rules import Fault, Rule, rule


class Alias(NamedTuple):
    """Another name that a receiver accepts for a field, if the field itself is missing."""

    name: str


class Since(NamedTuple):
    """The version that introduced a field; earlier ones may use its name for anything."""

    version: int


@dataclass(frozen=True, slots=True)
class OneALead:
    """Marks a field that, if it is a list, has to have one entry for each lead of a two-dimensional ``signal``."""


Numbers: TypeAlias = Sequence[float] | npt.NDArray[np.integer[Any] | np.floating[Any]]
"""Numbers as a list or a one-dimensional array."""

Signal = Annotated[Numbers | Sequence[Sequence[float]], rules.SIGNAL]
"""Samples, ``[samples]`` or ``[leads, samples]``, of any integer or float dtype; NaN is a missing sample."""

Text = Annotated[str, rules.TEXT]
Names = Annotated[Sequence[str], rules.list_of_text("a list of names (text)")]
Identifier = Annotated[str | int | UUID, rule("an identifier: text, an integer or a UUID", rules.is_identifier)]
Integer = Annotated[int, rules.INTEGER]
Versions = Annotated[
    Sequence[int] | npt.NDArray[np.integer[Any]], rules.list_of_integers("a list of protocol versions (integers)")
]
Time = Annotated[float | datetime, rule("a time: finite Unix seconds or a datetime", rules.is_time)]
Seconds = Annotated[float, rule("a number of seconds above 0", rules.is_positive)]
Confidence = Annotated[float, rule("a number from 0 to 1", rules.is_share)]
Probabilities = Annotated[
    Mapping[str, float],
    rules.map_of(
        rule("a probability from 0 to 1", rules.is_share), "a map from labels (text) to probabilities from 0 to 1"
    ),
]
Features = Annotated[
    Mapping[str, float | Numbers | npt.NDArray[Any]],
    rules.map_of(rules.FEATURE, "a map from names (text) to numbers or ndarrays"),
]

Epoch = Annotated[int, template_rules.EPOCH]
"""Epoch of a stream: a random integer. The numbers of its messages begin at 1 in each epoch."""

Severity = Literal["info", "warning", "critical"]
SubscriptionStatus = Literal["subscribed", "unsubscribed", "denied"]


class EcgData(TypedDict, total=False):
    """ECG_DATA: samples of one or several leads.

    Attributes:
        signal: samples, ``[samples]`` or ``[leads, samples]``: physical values, or ADC counts if ``gain`` is given.
        sampling_rate: sampling rate of each lead in Hz, above 0. Receivers accept ``samplingRate`` as well.
        timestamp: time of the first sample: Unix seconds or a datetime.
        stream: name of the stream, to which viewers subscribe.
        leads: names of the leads, in the order of the signal; one for each lead of a two-dimensional signal.
        units: unit of the physical values, such as "mV".
        gain: ADC counts per unit, not 0; one number, or one for each lead.
        baseline: ADC count of 0 units; one number, or one for each lead.
        missing: ADC count of missing samples, for integer samples.
        sequence: number of the message within its stream, from 0.
        device_id: identifier of the device.
        patient_id: identifier of the patient.
    """

    signal: Required[Signal]
    sampling_rate: Required[
        Annotated[float, rule("a finite number above 0, in Hz", rules.is_positive), Alias("samplingRate")]
    ]
    timestamp: Time
    stream: Text
    leads: Annotated[Names, OneALead()]
    units: Text
    gain: Annotated[
        float | Numbers,
        rules.number_or_one_a_lead(
            "a finite number other than 0, in ADC counts per unit", rules.is_nonzero, rules.are_nonzero
        ),
        OneALead(),
    ]
    baseline: Annotated[
        float | Numbers,
        rules.number_or_one_a_lead("a finite number, in ADC counts", rules.is_finite, np.isfinite),
        OneALead(),
    ]
    missing: Annotated[int, rule("an integer, an ADC count", rules.is_integer)]
    sequence: Annotated[int, rule("an integer, 0 or more", rules.is_count)]
    device_id: Identifier
    patient_id: Identifier


class AnomalyAlert(TypedDict, total=False):
    """ANOMALY_ALERT: an event in a signal that requires attention.

    Attributes:
        kind: kind of the event, such as "ventricular_tachycardia".
        timestamp: time of the event: Unix seconds or a datetime.
        severity: "info", "warning" or "critical".
        confidence: confidence of the detector, from 0 to 1.
        message: text for the user.
        stream: name of the stream.
        start: start of the event in the signal: Unix seconds or a datetime.
        end: end of the event in the signal: Unix seconds or a datetime.
        lead: name of the lead.
    """

    kind: Required[Text]
    timestamp: Required[Time]
    severity: Annotated[Severity, rules.one_of(Severity)]
    confidence: Confidence
    message: Text
    stream: Text
    start: Time
    end: Time
    lead: Text


class _Prediction(TypedDict, total=False):
    timestamp: Time
    model: Text
    confidence: Confidence
    stream: Text


class LabelPrediction(_Prediction, total=False):
    """PREDICTION_RESULT with a label.

    Attributes:
        label: the predicted label.
        probabilities: probability of each label, from 0 to 1.
        timestamp: time of the classified signal: Unix seconds or a datetime.
        model: name of the model.
        confidence: confidence in the label, from 0 to 1.
        stream: name of the stream.
    """

    label: Required[Text]
    probabilities: Probabilities


class ProbabilityPrediction(_Prediction, total=False):
    """PREDICTION_RESULT with probabilities, with or without a label. The fields are those of LabelPrediction."""

    probabilities: Required[Probabilities]
    label: Text


PredictionResult: TypeAlias = LabelPrediction | ProbabilityPrediction
"""PREDICTION_RESULT: the result of a model: a label, probabilities, or both."""


class FeatureData(TypedDict, total=False):
    """FEATURE_DATA: features of a signal.

    Attributes:
        features: value of each feature: a number, an ndarray of any shape, or a list of numbers.
        timestamp: time of the first sample of the window: Unix seconds or a datetime.
        window: length of the window in seconds.
        stream: name of the stream.
    """

    features: Required[Features]
    timestamp: Time
    window: Seconds
    stream: Text


class Subscribe(TypedDict, total=False):
    """SUBSCRIBE: a request for a stream.

    Attributes:
        stream: name of the stream.
        since: timestamp of the last message that was received: Unix seconds or a datetime. Later messages are sent
            first.
        epoch: from version 4 on: the epoch of the stream's numbers that the viewer knows.
        after: from version 4 on: the number of the last message in line that was received; 0 before the first.
        catch_up: seconds: messages that are older are not sent, although they follow ``since`` or ``after``.
        history: from version 4 on: number that the viewer gives its request for kept messages; it changes nothing in
            the subscription.
        start: from version 4 on: the time from which messages are requested, which has ``history``.
        stop: from version 4 on: the last time; without it, up to now.
    """

    stream: Required[Text]
    since: Time
    epoch: Annotated[Epoch, Since(4)]
    after: Annotated[int, rules.integer_within(0, LARGEST_SEQUENCE), Since(4)]
    catch_up: Seconds
    history: Annotated[int, rules.integer_within(1, LARGEST_STREAM_ID), Since(4)]
    start: Annotated[Time, Since(4)]
    stop: Annotated[Time, Since(4)]


class Unsubscribe(TypedDict, total=False):
    """UNSUBSCRIBE: a request to end a subscription.

    Attributes:
        stream: name of the stream.
        history: from version 4 on: the request whose history is to end, instead of the subscription.
    """

    stream: Required[Text]
    history: Annotated[int, rules.integer_within(1, LARGEST_STREAM_ID), Since(4)]


# "from" is a keyword of Python, so this field cannot be declared in a class body.
_From = TypedDict("_From", {"from": Time}, total=False)


class SubscriptionAck(_From, total=False):
    """SUBSCRIPTION_ACK: the answer to SUBSCRIBE and UNSUBSCRIBE.

    Attributes:
        stream: name of the stream.
        status: "subscribed", "unsubscribed" or "denied".
        code: error code, if denied.
        from: time from which messages follow, if the history does not reach back to ``since``: Unix seconds or a
            datetime.
        id: from version 4 on: the number by which the headers of the stream's messages name it.
        epoch: from version 4 on: which life of the stream's numbers.
        next: from version 4 on: the number of the first message that follows.
        templates: from version 4 on: the frames of the templates in force before ``next``.
        ended: from version 4 on, if another epoch begins: the number of the message that would have been next in the
            epoch before.
        history: from version 4 on: the request for a history that this answers.
        end: of a history: the number after the last message that follows.
        more: of a history: the time from which to ask for the rest, which is of another epoch.
    """

    stream: Required[Text]
    status: Required[Annotated[SubscriptionStatus, rules.one_of(SubscriptionStatus)]]
    code: Integer
    id: Annotated[int, rules.integer_within(1, LARGEST_STREAM_ID), Since(4)]
    epoch: Annotated[Epoch, Since(4)]
    next: Annotated[int, rules.integer_within(1, LARGEST_SEQUENCE), Since(4)]
    templates: Annotated[Sequence[bytes], rules.list_of_bytes(TEMPLATES_IN_FORCE), Since(4)]
    ended: Annotated[int, rules.integer_within(1, LARGEST_SEQUENCE), Since(4)]
    history: Annotated[int, rules.integer_within(1, LARGEST_STREAM_ID), Since(4)]
    end: Annotated[int, rules.integer_within(1, LARGEST_SEQUENCE), Since(4)]
    more: Annotated[Time, Since(4)]


class _OfTemplate(TypedDict, total=False):
    template: Required[Annotated[int, template_rules.NUMBER]]
    stream: Required[Annotated[str, template_rules.STREAM]]


class StreamTemplate(_OfTemplate, total=False):
    """STREAM_TEMPLATE: the fields that the records of a stream with its number have in common.

    Attributes:
        template: number of the template, from 1 to 65,535. It does not change its meaning within the epoch.
        stream: name of the stream, 1 to 256 characters.
        dtype: dtype of the samples: "int8", "uint8", "int16", "uint16", "int32", "float32" or "float64".
        rows: number of leads, at most 4,096; 0 for a signal of one dimension.
        fields: fields of each ECG_DATA, except ``signal``, ``stream``, ``timestamp`` and ``sequence``.
        missing: count of missing samples; integer dtypes only.
        scale: ``{"mul": m, "div": d}``: the samples are floats, count * m / d; integer dtypes only.
    """

    dtype: Required[Annotated[str, template_rules.DTYPE]]
    rows: Required[Annotated[int, template_rules.ROWS]]
    fields: Required[Annotated[Mapping[str, Any], template_rules.FIELDS]]
    missing: Integer
    scale: Annotated[Mapping[str, float], template_rules.SCALE]


class StreamOpening(_OfTemplate, total=False):
    """STREAM_TEMPLATE with the number 0: a publisher opens a stream with its own id and epoch.

    Attributes:
        template: 0.
        stream: name of the stream, 1 to 256 characters.
        epoch: random integer from 1 to 2**53 - 1.
    """

    epoch: Required[Epoch]


class StreamAttestation(TypedDict):
    """STREAM_ATTESTATION: a signature of the messages of a stream that were published since the last attestation.

    Attributes:
        stream: name of the stream.
        key: name of the key of the signer: the first 8 bytes of the SHA-256 of the public key.
        epoch: epoch of the stream.
        number: number of the attestation with this key in this stream, from 1 on in each epoch.
        last: True in the last attestation of the signer.
        previous: SHA-256 of the packed attestation before; zeros in the first.
        digests: digests of the messages, 32 bytes each, in the order of publication; at most 4,096.
        signature: Ed25519 signature, 64 bytes.
    """

    stream: Text
    key: Annotated[bytes, rules.bytes_of(KEY_NAME_SIZE)]
    epoch: Epoch
    number: Annotated[int, rules.integer_within(1, LARGEST_SEQUENCE)]
    last: Annotated[bool, rule("true or false", rules.is_truth)]
    previous: Annotated[bytes, rules.bytes_of(DIGEST_SIZE)]
    digests: Annotated[bytes, rules.bytes_of(DIGEST_SIZE, at_most=MAX_DIGESTS)]
    signature: Annotated[bytes, rules.bytes_of(SIGNATURE_SIZE)]


class ErrorInfo(TypedDict, total=False):
    """ERROR: an error of the other side.

    Attributes:
        code: error code.
        message: text for the user.
        details: any further information.
    """

    code: Required[Integer]
    message: Required[Text]
    details: Any


class _Capabilities(TypedDict, total=False):
    capabilities: Names


class Negotiation(_Capabilities, total=False):
    """PROTOCOL_NEGOTIATION of a server: its offer.

    Attributes:
        versions: supported protocol versions.
        preferred: preferred protocol version.
        capabilities: names of supported capabilities.
        max_payload: largest payload that the server accepts, in bytes.
        heartbeat_interval: seconds without other messages after which a HEARTBEAT is sent.
    """

    versions: Required[Versions]
    preferred: Integer
    max_payload: Annotated[int, rule("a number of bytes: an integer, 0 or more", rules.is_count)]
    heartbeat_interval: Seconds


class NegotiationAck(_Capabilities, total=False):
    """PROTOCOL_NEGOTIATION of a client: its choice.

    Attributes:
        version: the chosen protocol version.
        capabilities: names of the offered capabilities that the client supports as well.
        max_payload: largest payload that the client accepts, in bytes; from V4 on.
    """

    version: Required[Integer]
    max_payload: Annotated[int, rule("a number of bytes: an integer, 0 or more", rules.is_count)]


class VersionCheck(TypedDict, total=False):
    """VERSION_CHECK: a question whether a version is supported, or the answer.

    Attributes:
        version: the version in question.
        compatible: whether it is supported (in the answer).
        versions: all supported versions (in the answer).
    """

    version: Required[Integer]
    compatible: Annotated[bool, rule("true or false", rules.is_truth)]
    versions: Versions


PAYLOADS: Final[Mapping[MessageType, Any]] = {
    MessageType.ECG_DATA: EcgData,
    MessageType.ANOMALY_ALERT: AnomalyAlert,
    MessageType.PREDICTION_RESULT: PredictionResult,
    MessageType.FEATURE_DATA: FeatureData,
    MessageType.HEARTBEAT: Any,
    MessageType.PING: Any,
    MessageType.PONG: Any,
    MessageType.SUBSCRIBE: Subscribe,
    MessageType.UNSUBSCRIBE: Unsubscribe,
    MessageType.SUBSCRIPTION_ACK: SubscriptionAck,
    MessageType.STREAM_TEMPLATE: StreamTemplate | StreamOpening,
    MessageType.STREAM_ATTESTATION: StreamAttestation,
    MessageType.VERSION_CHECK: VersionCheck,
    MessageType.PROTOCOL_NEGOTIATION: Negotiation | NegotiationAck,
    MessageType.ERROR: ErrorInfo,
}
"""The payload of each message type: a ``TypedDict``, a union of two alternatives, or ``Any``."""

_signatures.describe_typed_dicts(globals())

# Narrowing by type


# TypeGuard and not TypeIs: by the rules of TypeIs, Message[Any] is a Message[EcgData] already, and what follows "else"
# is unreachable.
@overload
def has_type(message: Message, type: Literal[MessageType.ECG_DATA]) -> TypeGuard[Message[EcgData]]: ...
@overload
def has_type(message: Message, type: Literal[MessageType.ANOMALY_ALERT]) -> TypeGuard[Message[AnomalyAlert]]: ...
@overload
def has_type(
    message: Message, type: Literal[MessageType.PREDICTION_RESULT]
) -> TypeGuard[Message[PredictionResult]]: ...
@overload
def has_type(message: Message, type: Literal[MessageType.FEATURE_DATA]) -> TypeGuard[Message[FeatureData]]: ...
@overload
def has_type(message: Message, type: Literal[MessageType.SUBSCRIBE]) -> TypeGuard[Message[Subscribe]]: ...
@overload
def has_type(message: Message, type: Literal[MessageType.UNSUBSCRIBE]) -> TypeGuard[Message[Unsubscribe]]: ...
@overload
def has_type(message: Message, type: Literal[MessageType.SUBSCRIPTION_ACK]) -> TypeGuard[Message[SubscriptionAck]]: ...
@overload
def has_type(
    message: Message, type: Literal[MessageType.STREAM_TEMPLATE]
) -> TypeGuard[Message[StreamTemplate | StreamOpening]]: ...
@overload
def has_type(
    message: Message, type: Literal[MessageType.STREAM_ATTESTATION]
) -> TypeGuard[Message[StreamAttestation]]: ...
@overload
def has_type(message: Message, type: Literal[MessageType.VERSION_CHECK]) -> TypeGuard[Message[VersionCheck]]: ...
@overload
def has_type(
    message: Message, type: Literal[MessageType.PROTOCOL_NEGOTIATION]
) -> TypeGuard[Message[Negotiation | NegotiationAck]]: ...
@overload
def has_type(message: Message, type: Literal[MessageType.ERROR]) -> TypeGuard[Message[ErrorInfo]]: ...
@overload
def has_type(message: Message, type: MessageType) -> bool: ...
def has_type(message: Message, type: MessageType) -> bool:
    """Compare the type of a message, so that type checkers know the fields of its ``data``.

    >>> if has_type(message, MessageType.ECG_DATA):    # message: Message[EcgData]
    ...     print(message.data["sampling_rate"])       # float

    Only the type in the header is compared. The fields are checked if the message was decoded with
    ``Codec(validate=True)`` or received with ``Settings(validate=True)``; without, ``data`` is whatever was sent.
    """
    return message.type == type


# From annotations to checks


@dataclass(frozen=True, slots=True)
class _Schema:
    """The rules of a message type, extracted from the annotations."""

    type: MessageType
    rules: Mapping[str, Rule]
    needs: Sequence[frozenset[str]]
    """Alternative sets of required fields."""
    optional: frozenset[str]
    """Fields that at least one alternative does not require."""
    aliases: Mapping[str, str]
    """Fields by alias."""
    one_a_lead: Sequence[str]
    since: Mapping[str, int]
    """Version that introduced a field, of those that are younger than their type."""


@cache
def _schema(message_type: int) -> _Schema | None:
    """Extract the rules of a message type; None if its payload may be anything."""
    payload = PAYLOADS[MessageType(message_type)]
    if payload is Any:
        return None
    shapes = get_args(payload) or (payload,)
    hints = {name: hint for shape in shapes for name, hint in get_type_hints(shape, include_extras=True).items()}
    marks = {name: _marks(hint) for name, hint in hints.items()}
    rules = {name: mark for name, found in marks.items() for mark in found if isinstance(mark, Rule)}
    needs = [shape.__required_keys__ for shape in shapes]
    return _Schema(
        type=MessageType(message_type),
        rules=rules,
        needs=needs,
        optional=frozenset(rules) - frozenset.intersection(*needs),
        aliases={mark.name: name for name, found in marks.items() for mark in found if isinstance(mark, Alias)},
        one_a_lead=[name for name, found in marks.items() if any(isinstance(mark, OneALead) for mark in found)],
        since={name: mark.version for name, found in marks.items() for mark in found if isinstance(mark, Since)},
    )


FIELD_TABLES: Final[list[FieldTable | None]] = [None] * 256
"""By the number of a message type: a fast check of whether a message is valid. Made when first needed."""


def _table(message_type: int) -> FieldTable:
    schema = _schema(message_type)
    if schema is None:
        table = FieldTable({}, (), (), anything=True)
    elif schema.type is MessageType.STREAM_TEMPLATE:
        table = FieldTable({}, (), ())  # accepts none: its fields have more rules than one each
    else:
        fields = {name: (field.kind, field.accepts, field.values) for name, field in schema.rules.items()}
        fields |= dict.fromkeys(schema.aliases, ("", _rejects, None))  # the field itself is missing
        table = FieldTable(fields, schema.needs, schema.one_a_lead)
    FIELD_TABLES[message_type] = table
    return table


def _rejects(value: Any) -> bool:
    return False


def _marks(hint: Any) -> tuple[Any, ...]:
    """Collect the metadata of a field, also inside ``Required``."""
    if hasattr(hint, "__metadata__"):
        return tuple(hint.__metadata__)
    return tuple(mark for inner in get_args(hint) for mark in _marks(inner))


# The checks


def check_sent(message_type: int, data: Any) -> Any:
    """Validate a payload to send.

    Args:
        message_type: one of the message types.
        data: the payload, not yet packed. It is not changed.

    Returns:
        ``data`` itself.

    Raises:
        MissingRequiredFields: 0x201; the text names each missing field.
        InvalidDataFormat: 0x200; ``path`` names the field, the text says what was expected.
        ValueError: the type is not one of the message types.
    """
    if not _accepts(message_type, data):
        schema = _schema(message_type)
        assert schema is not None, "the table of a type without rules accepts anything"
        _check(schema, data)
    return data


def check_received(message_type: int, data: Any, version: int | None = None) -> Any:
    """Validate a received payload, after replacing variants that some peers send.

    An alias (``samplingRate``) is replaced by the name of the field. An optional field with nil counts as missing,
    since MessagePack libraries for JavaScript write undefined properties as nil.

    Args:
        message_type: one of the message types.
        data: the payload, unpacked. It is not changed.
        version: of its frame; fields that came later are not checked. None for the newest.

    Returns:
        ``data`` itself, or a shallow copy with these replacements. Unknown fields are kept.

    Raises:
        MissingRequiredFields: 0x201; the text names each missing field.
        InvalidDataFormat: 0x200; ``path`` names the field, the text says what was expected.
        ValueError: the type is not one of the message types.
    """
    if _accepts(message_type, data):
        return data
    schema = _schema(message_type)
    assert schema is not None, "the table of a type without rules accepts anything"
    if isinstance(data, dict):
        data = _normalised(schema, data)
    _check(schema, data, version)
    return data


def _accepts(message_type: int, data: Any) -> bool:
    """Return True for most messages that are valid and have no variant to be replaced. This is fast.

    ``_check`` decides about all other messages, valid ones among them.
    """
    table = FIELD_TABLES[message_type] if 0 <= message_type < len(FIELD_TABLES) else None
    return (table or _table(message_type)).accepts(data)


def _normalised(schema: _Schema, data: dict[Any, Any]) -> dict[Any, Any]:
    renamed = {alias: name for alias, name in schema.aliases.items() if alias in data and name not in data}
    left_out = [name for name in schema.optional if data.get(name, ...) is None]
    if not renamed and not left_out:
        return data
    return {renamed.get(name, name): value for name, value in data.items() if name not in left_out}


def _check(schema: _Schema, data: Any, version: int | None = None) -> None:
    if schema.type is MessageType.STREAM_TEMPLATE:
        template_rules.check(data)  # their own, as what a field may hold hangs on others
        return
    if not isinstance(data, dict):
        raise _invalid(schema, Fault("a map of fields", rules.shown(data)))
    if not any(need <= data.keys() for need in schema.needs):
        raise _missing(schema, data)
    for name, field in schema.rules.items():
        if version is not None and version < schema.since.get(name, 1):
            continue
        if name in data and (fault := field.fault(data[name])):
            raise _invalid(schema, fault._replace(where=(name, *fault.where)))
    if schema.one_a_lead and (fault := _lead_fault(schema, data)):
        raise _invalid(schema, fault)


def _lead_fault(schema: _Schema, data: dict[str, Any]) -> Fault | None:
    leads = rules.lead_count(data["signal"])
    if leads is None:
        return None
    for name in schema.one_a_lead:
        value = data.get(name)
        if isinstance(value, (list, tuple, np.ndarray)) and len(value) != leads:
            return Fault(f"{leads} entries, one for each lead of the signal", str(len(value)), (name,))
    return None


def _invalid(schema: _Schema, fault: Fault) -> InvalidDataFormat:
    path = path_text(fault.where)
    return InvalidDataFormat(
        f"{schema.type.name}: {path} must be {fault.expected}; got {fault.got}", check=Check.FIELDS, path=path
    )


def _missing(schema: _Schema, data: dict[Any, Any]) -> MissingRequiredFields:
    alternatives = [
        " and ".join(
            f"{path_text([name])} ({field.expected})"
            for name, field in schema.rules.items()
            if name in need - data.keys()
        )
        for need in schema.needs
    ]
    return MissingRequiredFields(
        f"{schema.type.name} lacks {' or '.join(alternatives)}", check=Check.FIELDS, path=path_text([])
    )
