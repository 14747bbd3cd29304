"""Every payload is either valid or refused with a ProtocolError."""

import datetime
import uuid

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from thoroughness import examples

from ecgframe._core import FieldTable
from ecgframe._core.plain import fields as plain
from ecgframe.errors import InvalidDataFormat, MissingRequiredFields
from ecgframe.messages import (
    PAYLOADS,
    _accepts,
    _check,
    _normalised,
    _schema,
    _table,
    check_received,
    check_sent,
)
from ecgframe.protocol import MessageType

NAMES = sorted({name for kind in MessageType if (schema := _schema(kind)) for name in schema.rules} | {"samplingRate"})

scalars = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(max_size=5)),
    *(st.binary(max_size=5), st.datetimes(), st.dates(), st.timedeltas(), st.decimals(), st.uuids(), st.just(10**400)),
    st.sampled_from(
        [np.float32(1), np.int8(-1), np.bool_(True), np.timedelta64(1, "s"), np.datetime64(1, "s"), np.str_("x")]
    ),
    st.sampled_from([object(), int, print, ..., datetime.UTC, uuid, MessageType.PING]),
)
arrays = st_numpy.arrays(
    st.one_of(st_numpy.scalar_dtypes(), st.just(np.dtype(object))),
    st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    fill=st.nothing(),
)
junk = st.recursive(
    st.one_of(scalars, arrays),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(
            st.one_of(st.sampled_from(NAMES), st.text(max_size=3), st.integers(), st.none()), inner, max_size=4
        ),
    ),
    max_leaves=12,
)
likely = st.dictionaries(st.sampled_from(NAMES), junk, max_size=8)


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_sent, check_received])
@given(message_type=st.sampled_from(list(PAYLOADS)), data=st.one_of(likely, junk))
@examples(400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_only_the_two_errors_of_check_12_come_out(check, message_type, data):
    if error := refusal(check, message_type, data):
        assert error.check == 12
        assert error.path.startswith("data")
        assert len(str(error)) < 600


def refusal(check, message_type, data):
    try:
        check(message_type, data)
    except (MissingRequiredFields, InvalidDataFormat) as error:
        return error
    return None


@given(data=junk)
@examples(400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_field_is_accepted_if_it_has_no_fault(data):
    for schema in filter(None, map(_schema, MessageType)):
        for name, rule in schema.rules.items():
            assert rule.accepts(data) == (rule.fault(data) is None), (schema.type, name)


@given(message_type=st.sampled_from(list(PAYLOADS)), data=likely, version=st.sampled_from([None, 1, 3, 4]))
@examples(400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_valid_messages_pass_all_checks(message_type, data, version):
    schema = _schema(message_type)
    if schema is not None and _accepts(message_type, data):
        assert _normalised(schema, data) is data
        _check(schema, data, version)


numbers = st.one_of(st.floats(), st.integers(), st.just(0), st.just(0.0))
leads = st.one_of(st.lists(numbers, max_size=3), st.lists(st.text(max_size=2), max_size=3), arrays)
usual = st.one_of(
    *(numbers, st.text(max_size=3), st.sampled_from(["info", "critical", "denied"]), leads, junk),
    st.lists(st.lists(numbers, max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.one_of(st.floats(-0.5, 1.5), numbers, leads), max_size=3),
)


def tables_of(kind):
    """The table of a message type in each core. The second one asks the predicates about every value."""
    schema = _schema(kind)
    fields = {name: (rule.kind, rule.accepts, rule.values) for name, rule in schema.rules.items()}
    return _table(kind), plain.FieldTable(
        fields | {"samplingRate": ("", lambda _: False, None)}, schema.needs, schema.one_a_lead
    )


@given(value=usual)
@examples(600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_table_judges_each_value_as_the_rule_does(value):
    for schema in filter(None, map(_schema, MessageType)):
        for name, rule in schema.rules.items():
            table = FieldTable({name: (rule.kind, rule.accepts, rule.values)}, [frozenset()], ())
            assert table.accepts({name: value}) == rule.accepts(value), (schema.type, name)


@given(signal=usual, gain=usual, names=usual)
@examples(600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_table_counts_leads_as_its_twin_does(signal, gain, names):
    table, twin = tables_of(MessageType.ECG_DATA)
    data = {"signal": signal, "sampling_rate": 500.0, "gain": gain, "baseline": gain, "leads": names}
    if table.accepts(data):
        assert twin.accepts(data)
    elif type(signal) in {list, np.ndarray}:
        assert not twin.accepts(data)


def test_a_table_knows_the_usual_rules():
    """So that a rule which loses its kind is noticed: it would only be slower."""
    known = {rule.kind for schema in filter(None, map(_schema, MessageType)) for rule in schema.rules.values()}
    assert known == {
        *("", "text", "one of", "integer", "time", "positive", "share", "names", "shares", "features", "signal"),
        *("nonzero or one a lead", "finite or one a lead"),
    }
