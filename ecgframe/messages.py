"""What each of the thirteen message types holds, and the check that a message holds it.

Each type is a ``TypedDict`` whose annotations are read twice: by type checkers, and by this module, which takes its
checks from the rules in ``Annotated``. A field that no type names is kept as it is: peers may add what they like.

Units: times are Unix seconds (UTC), rates are in hertz, spans in seconds. A signal is ``[samples]`` or
``[leads, samples]``; the physical value of an integer sample is ``(count - baseline) / gain``, in ``units``,
as in WFDB.
"""

# No ``from __future__ import annotations`` here: the annotations are read at run time, as objects.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Final, Literal, NamedTuple, Required, TypeAlias, TypedDict, get_args, get_type_hints
from uuid import UUID

import numpy as np
import numpy.typing as npt

from . import _rules
from ._core.path import path_text
from ._rules import Fault, Rule, rule
from .errors import InvalidDataFormat, MissingRequiredFields
from .protocol import Check, MessageType


class Alias(NamedTuple):
    """A name that a receiver takes for the field as well, when the field itself is not there."""

    name: str


@dataclass(frozen=True, slots=True)
class OneALead:
    """Marks a field that, when it is a list, has as many entries as a two-dimensional ``signal`` has leads."""


Numbers: TypeAlias = Sequence[float] | npt.NDArray[np.integer[Any] | np.floating[Any]]
"""Numbers as a list or a one-dimensional array."""

Signal = Annotated[Numbers | Sequence[Sequence[float]], _rules.SIGNAL]
"""Samples, ``[samples]`` or ``[leads, samples]``, of any integer or float dtype; NaN is allowed and means no sample."""

Text = Annotated[str, _rules.TEXT]
Names = Annotated[Sequence[str], _rules.list_of_text("a list of names (text)")]
Identifier = Annotated[str | int | UUID, rule("an identifier: text, an integer or a UUID", _rules.is_identifier)]
Integer = Annotated[int, _rules.INTEGER]
Versions = Annotated[
    Sequence[int] | npt.NDArray[np.integer[Any]], _rules.list_of_integers("a list of protocol versions (integers)")
]
Time = Annotated[float | datetime, rule("a time: finite Unix seconds or a datetime", _rules.is_time)]
Seconds = Annotated[float, rule("a number of seconds above 0", _rules.is_positive)]
Confidence = Annotated[float, rule("a number from 0 to 1", _rules.is_share)]
Probabilities = Annotated[
    Mapping[str, float],
    _rules.map_of(
        rule("a probability from 0 to 1", _rules.is_share), "a map from labels (text) to probabilities from 0 to 1"
    ),
]
Features = Annotated[
    Mapping[str, float | Numbers | npt.NDArray[Any]],
    _rules.map_of(_rules.FEATURE, "a map from names (text) to numbers or ndarrays"),
]

Severity = Literal["info", "warning", "critical"]
SubscriptionStatus = Literal["subscribed", "unsubscribed", "denied"]


class EcgData(TypedDict, total=False):
    """ECG_DATA: a stretch of signal, one lead or several.

    Attributes:
        signal: the samples, ``[samples]`` or ``[leads, samples]``: physical values, or ADC counts if ``gain`` is there.
        sampling_rate: samples a second of each lead, Hz, above 0. A receiver takes ``samplingRate`` as well.
        timestamp: when the first sample was taken: Unix seconds or a datetime.
        stream: the name under which viewers subscribe.
        leads: names of the leads, in the signal's order; one for each when the signal has two dimensions.
        units: of the physical value, such as "mV".
        gain: ADC counts per unit, not 0; one number or one for each lead.
        baseline: the ADC count of physical zero; one number or one for each lead.
        sequence: number of the message within its stream, from 0.
        device_id: who measured.
        patient_id: on whom.
    """

    signal: Required[Signal]
    sampling_rate: Required[
        Annotated[float, rule("a finite number above 0, in Hz", _rules.is_positive), Alias("samplingRate")]
    ]
    timestamp: Time
    stream: Text
    leads: Annotated[Names, OneALead()]
    units: Text
    gain: Annotated[
        float | Numbers,
        _rules.number_or_one_a_lead(
            "a finite number other than 0, in ADC counts per unit", _rules.is_nonzero, _rules.are_nonzero
        ),
        OneALead(),
    ]
    baseline: Annotated[
        float | Numbers,
        _rules.number_or_one_a_lead("a finite number, in ADC counts", _rules.is_finite, np.isfinite),
        OneALead(),
    ]
    sequence: Annotated[int, rule("an integer, 0 or more", _rules.is_count)]
    device_id: Identifier
    patient_id: Identifier


class AnomalyAlert(TypedDict, total=False):
    """ANOMALY_ALERT: something in a signal that a person should look at.

    Attributes:
        kind: what was found, such as "ventricular_tachycardia".
        timestamp: when: Unix seconds or a datetime.
        severity: "info", "warning" or "critical".
        confidence: of the detector, 0 to 1.
        message: for the reader.
        stream: where it was found.
        start: of the stretch concerned: Unix seconds or a datetime.
        end: of the stretch concerned: Unix seconds or a datetime.
        lead: name of the lead concerned.
    """

    kind: Required[Text]
    timestamp: Required[Time]
    severity: Annotated[Severity, _rules.one_of(Severity)]
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
    """PREDICTION_RESULT that names its label.

    Attributes:
        label: what the model decided for.
        probabilities: label to probability, 0 to 1.
        timestamp: of the signal that was judged: Unix seconds or a datetime.
        model: name of the model.
        confidence: in the label, 0 to 1.
        stream: the signal's name.
    """

    label: Required[Text]
    probabilities: Probabilities


class ProbabilityPrediction(_Prediction, total=False):
    """PREDICTION_RESULT that gives probabilities, with or without a label; fields as in LabelPrediction."""

    probabilities: Required[Probabilities]
    label: Text


PredictionResult: TypeAlias = LabelPrediction | ProbabilityPrediction
"""PREDICTION_RESULT: what a model makes of a signal: a label, probabilities, or both."""


class FeatureData(TypedDict, total=False):
    """FEATURE_DATA: what was computed from a signal.

    Attributes:
        features: name to value: a number, or an ndarray of any shape; a reader takes a list of numbers as well.
        timestamp: of the window's first sample: Unix seconds or a datetime.
        window: length of the signal that the features describe, seconds.
        stream: the signal's name.
    """

    features: Required[Features]
    timestamp: Time
    window: Seconds
    stream: Text


class Subscribe(TypedDict, total=False):
    """SUBSCRIBE: asks for a stream.

    Attributes:
        stream: its name.
        since: the last moment already seen; what came after it is sent first. Unix seconds or a datetime.
    """

    stream: Required[Text]
    since: Time


class Unsubscribe(TypedDict):
    """UNSUBSCRIBE: no more of a stream.

    Attributes:
        stream: its name.
    """

    stream: Text


# "from" is a keyword of Python, so this field cannot stand in a class body.
_From = TypedDict("_From", {"from": Time}, total=False)


class SubscriptionAck(_From, total=False):
    """SUBSCRIPTION_ACK: the answer to SUBSCRIBE and UNSUBSCRIBE.

    Attributes:
        stream: its name.
        status: "subscribed", "unsubscribed" or "denied".
        code: why it was denied, one of the error codes.
        from: the moment from which messages follow, where they do not reach back to ``since``: Unix seconds or a
            datetime.
    """

    stream: Required[Text]
    status: Required[Annotated[SubscriptionStatus, _rules.one_of(SubscriptionStatus)]]
    code: Integer


class ErrorInfo(TypedDict, total=False):
    """ERROR: what the other side did wrong.

    Attributes:
        code: one of the error codes.
        message: for the reader.
        details: whatever helps more.
    """

    code: Required[Integer]
    message: Required[Text]
    details: Any


class _Capabilities(TypedDict, total=False):
    capabilities: Names


class Negotiation(_Capabilities, total=False):
    """PROTOCOL_NEGOTIATION as the server opens with it.

    Attributes:
        versions: the protocol versions that it speaks.
        preferred: the one it would choose.
        capabilities: names of what it can do beyond the version.
        max_payload: the most that it accepts, bytes.
        heartbeat_interval: of silence after which a HEARTBEAT goes out, seconds.
    """

    versions: Required[Versions]
    preferred: Integer
    max_payload: Annotated[int, rule("a number of bytes: an integer, 0 or more", _rules.is_count)]
    heartbeat_interval: Seconds


class NegotiationAck(_Capabilities):
    """PROTOCOL_NEGOTIATION as the client answers it.

    Attributes:
        version: the protocol version that it chose.
        capabilities: names of those offered that it has as well.
    """

    version: Required[Integer]


class VersionCheck(TypedDict, total=False):
    """VERSION_CHECK: "do you speak this version?" and the answer.

    Attributes:
        version: the one asked about.
        compatible: whether it is spoken (in the answer).
        versions: all that are spoken (in the answer).
    """

    version: Required[Integer]
    compatible: Annotated[bool, rule("true or false", _rules.is_truth)]
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
    MessageType.VERSION_CHECK: VersionCheck,
    MessageType.PROTOCOL_NEGOTIATION: Negotiation | NegotiationAck,
    MessageType.ERROR: ErrorInfo,
}
"""What each type's payload is: a ``TypedDict``, a union of two where either will do, or ``Any``."""

# From annotations to checks


@dataclass(frozen=True, slots=True)
class _Schema:
    """A type's annotations, made ready for the check."""

    type: MessageType
    rules: Mapping[str, Rule]
    needs: Sequence[frozenset[str]]
    """Alternatives; one of them has to be there whole."""
    optional: frozenset[str]
    """Fields that at least one of the alternatives does without."""
    aliases: Mapping[str, str]
    """Other name to field."""
    one_a_lead: Sequence[str]


@cache
def _schema(message_type: int) -> _Schema | None:
    """Make the checks for a type ready; None when its payload may be anything."""
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
    )


def _marks(hint: Any) -> tuple[Any, ...]:
    """Collect what ``Annotated`` says of a field, also inside ``Required``."""
    if hasattr(hint, "__metadata__"):
        return tuple(hint.__metadata__)
    return tuple(mark for inner in get_args(hint) for mark in _marks(inner))


# The checks


def check_sent(message_type: int, data: Any) -> Any:
    """Check a payload that is to be sent, as strictly as the documentation of its type says.

    Args:
        message_type: one of the thirteen.
        data: the payload, not yet packed. It is only read.

    Returns:
        ``data`` itself.

    Raises:
        MissingRequiredFields: 0x201; the message names each field that lacks and says what it is.
        InvalidDataFormat: 0x200; ``path`` names the field, the message what was expected and what came.
        ValueError: the type is none of the thirteen.
    """
    schema = _schema(message_type)
    if schema is not None:
        _check(schema, data)
    return data


def check_received(message_type: int, data: Any) -> Any:
    """Check a payload that was received, after reading what peers write a little differently.

    An alias (``samplingRate``) becomes the field's own name. A nil in a field that may be left out counts as left out,
    since packers of JavaScript write an undefined property so.

    Args:
        message_type: one of the thirteen.
        data: the payload, unpacked. It is only read.

    Returns:
        ``data`` itself, or a shallow copy with those two things put right. Unknown fields are kept.

    Raises:
        MissingRequiredFields: 0x201; the message names each field that lacks and says what it is.
        InvalidDataFormat: 0x200; ``path`` names the field, the message what was expected and what came.
        ValueError: the type is none of the thirteen.
    """
    schema = _schema(message_type)
    if schema is None:
        return data
    if isinstance(data, dict):
        data = _normalised(schema, data)
    _check(schema, data)
    return data


def _normalised(schema: _Schema, data: dict[Any, Any]) -> dict[Any, Any]:
    renamed = {alias: name for alias, name in schema.aliases.items() if alias in data and name not in data}
    left_out = [name for name in schema.optional if data.get(name, ...) is None]
    if not renamed and not left_out:
        return data
    return {renamed.get(name, name): value for name, value in data.items() if name not in left_out}


def _check(schema: _Schema, data: Any) -> None:
    if not isinstance(data, dict):
        raise _invalid(schema, Fault("a map of fields", _rules.shown(data)))
    if not any(need <= data.keys() for need in schema.needs):
        raise _missing(schema, data)
    for name, field in schema.rules.items():
        if name in data and (fault := field.fault(data[name])):
            raise _invalid(schema, fault._replace(where=(name, *fault.where)))
    if schema.one_a_lead:
        _check_one_a_lead(schema, data)


def _check_one_a_lead(schema: _Schema, data: dict[str, Any]) -> None:
    leads = _rules.lead_count(data["signal"])
    if leads is None:
        return
    for name in schema.one_a_lead:
        value = data.get(name)
        if isinstance(value, (list, tuple, np.ndarray)) and len(value) != leads:
            expected = f"{leads} entries, one for each lead of the signal"
            raise _invalid(schema, Fault(expected, str(len(value)), (name,)))


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
