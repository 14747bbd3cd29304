"""The vectors of version 4's records, read and written by either core."""

import json

import numpy as np
import oracle
import pytest
from both_cores import CORES
from cases import each_case
from rendering import VECTORS, from_json

LISTS = json.loads((VECTORS / "v4-records.json").read_text(encoding="utf-8"))


def vectors(name):
    return each_case("vector", LISTS[name], ids=lambda vector: vector["name"])


each_core = pytest.mark.parametrize("core", CORES)


@each_core
@vectors("accepted")
def test_accepted(core, vector):
    payload, record = bytes.fromhex(vector["template_payload"]), bytes.fromhex(vector["record"])
    template = core.Template.unpack(payload)
    read = template.decode(record)
    expected = from_json(vector["message"])
    assert read.data.keys() == expected.keys()
    for name, value in expected.items():
        assert oracle.same(read.data[name], value), name
    assert oracle.same(read.counts, from_json(vector["counts"]))
    assert read.time == int(vector["time"])
    assert read.sequence == expected.get("sequence")
    assert core.template_number(record) == template.number
    if vector["written"]:
        bound = bool(record[3] & 2)
        assert template.encode(read.counts, read.time, read.sequence, bound=bound) == record
    told = from_json(vector["template"])
    made = core.Template(
        told["template"],
        told["stream"],
        told["dtype"],
        told["rows"],
        told["fields"],
        missing=told.get("missing"),
        scale=told.get("scale"),
    )
    if None not in told.values() and "epoch" not in told:
        assert made.payload == payload
        assert made == template
    assert made.key == template.key


@each_core
@vectors("refused")
def test_refused(core, vector):
    template = core.Template.unpack(bytes.fromhex(vector["template_payload"]))
    with pytest.raises(core.ProtocolError) as caught:
        template.decode(bytes.fromhex(vector["record"]), max_payload=vector.get("max_payload", 2**24))
    assert (f"0x{caught.value.code:03x}", caught.value.check) == (vector["code"], vector["check"])
    assert caught.value.reason == vector.get("reason")


@each_core
@vectors("refused_templates")
def test_refused_templates(core, vector):
    with pytest.raises(core.ProtocolError) as caught:
        core.Template.unpack(bytes.fromhex(vector["payload"]))
    assert (f"0x{caught.value.code:03x}", caught.value.check) == (vector["code"], vector["check"])
    if vector["check"] == 12:
        assert caught.value.path == vector.get("path")


def test_the_vectors_are_what_the_oracle_makes():
    import make_record_vectors

    assert make_record_vectors.make() == LISTS


def test_the_worked_bytes():
    template = CORES[0].values[0].Template(1, "ecg/1", "int16", 2, {})
    record = template.encode(np.array([[100, 104, 110, 118], [-3, -3, -2, 0]], "i2"), 1705314645250000)
    assert record == bytes.fromhex("00010100 00000004 00060ef981a90fd0 08c8d0dcec 03ed00")
