"""Maps with the keys of an earlier map are read faster, and to the same dicts, also if only the first keys match."""

import msgpack
import pytest

from ecgframe import InvalidDataFormat, MessageTooLarge, protocol, unpack

KEYS = ["kind", "timestamp", "severity", "confidence", "message", "lead"]
DATA = dict(zip(KEYS, ["pause", 1705320000.25, "info", 0.5, None, "V2"], strict=True))


def learn(data):
    """Have the keys of a map known: they are learned when they come twice in a row."""
    packed = msgpack.packb(data)
    for _ in range(4):
        assert unpack(packed) == data
    return packed


def map_of(*entries):
    """Pack a map with these entries, each a key and a value as packed bytes."""
    return bytes([0x80 | len(entries)]) + b"".join(key + value for key, value in entries)


def entries_of(data):
    return [(msgpack.packb(key), msgpack.packb(value)) for key, value in data.items()]


def test_each_dict_is_its_own():
    packed = learn(DATA)
    first = unpack(packed)
    first["kind"] = "other"
    first["more"] = 1
    del first["lead"]
    assert unpack(packed) == DATA
    assert list(unpack(packed)) == KEYS


@pytest.mark.parametrize("place", range(len(KEYS)))
@pytest.mark.parametrize("other", ["x", "kine", "timestamps", "\N{MICRO SIGN}s", "k" * 40, 7, -1, ""])
def test_another_key_at_each_place(place, other):
    learn(DATA)
    changed = {(other if i == place else key): value for i, (key, value) in enumerate(DATA.items())}
    packed = msgpack.packb(changed)
    for _ in range(4):
        assert unpack(packed) == changed
        assert list(unpack(packed)) == list(changed)
        assert unpack(msgpack.packb(DATA)) == DATA


@pytest.mark.parametrize("place", range(1, len(KEYS)))
def test_a_key_twice_is_refused_wherever_it_stands(place):
    learn(DATA)
    entries = entries_of(DATA)
    entries[place] = entries[place - 1]
    with pytest.raises(InvalidDataFormat, match="the same key twice"):
        unpack(map_of(*entries))
    assert unpack(map_of(*entries_of(DATA))) == DATA


def test_fewer_and_more_keys():
    learn(DATA)
    for count in range(len(KEYS)):
        fewer = dict(list(DATA.items())[:count])
        assert unpack(msgpack.packb(fewer)) == fewer
    more = DATA | {"stream": "ecg/1"}
    assert unpack(learn(more)) == more


def test_the_same_keys_in_another_order():
    learn(DATA)
    turned = dict(reversed(DATA.items()))
    assert list(unpack(msgpack.packb(turned))) == list(turned)
    swapped = {key: DATA[key] for key in [KEYS[0], KEYS[2], KEYS[1], *KEYS[3:]]}
    assert list(unpack(msgpack.packb(swapped))) == list(swapped)


def test_a_key_with_a_longer_header():
    learn(DATA)
    entries = entries_of(DATA)
    entries[2] = (b"\xd9\x08severity", entries[2][1])
    assert unpack(map_of(*entries)) == DATA


def test_maps_within_maps():
    nested = DATA | {"lead": DATA | {"message": [DATA, DATA]}}
    packed = learn(nested)
    assert unpack(packed) == nested


def test_every_cut_is_refused():
    packed = learn(DATA)
    for end in range(1, len(packed)):
        with pytest.raises(InvalidDataFormat):
            unpack(packed[:end])
    assert unpack(packed) == DATA


def test_a_fault_in_a_value_names_its_key():
    learn(DATA)
    entries = entries_of(DATA)
    entries[3] = (entries[3][0], b"\xc1")
    with pytest.raises(InvalidDataFormat) as caught:
        unpack(map_of(*entries))
    assert caught.value.path == 'data["confidence"]'


def test_keys_count_as_values(monkeypatch):
    """A text costs one value, and so does a key, known or not."""
    entries = {f"key{i:02}": None for i in range(40)}
    one = learn(entries)
    many = protocol.MAX_VALUES // 40
    with pytest.raises(MessageTooLarge):
        unpack(b"\xdd" + many.to_bytes(4, "big") + one * many)


def test_many_shapes_replace_one_another():
    shapes = [{f"{first}{i}": i for i in range(4 + first % 9)} for first in range(600)]
    for _ in range(2):
        for shape in shapes:
            learn(shape)
