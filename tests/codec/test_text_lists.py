"""Lists of texts that came before are read faster, and to the same lists; so are the short texts of known maps."""

import msgpack
import pytest

from ecgframe import Codec, InvalidDataFormat, MessageTooLarge, protocol, unpack

LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]


def learn(data):
    """Have a list known: it is learned when it comes twice in a row."""
    packed = msgpack.packb(data)
    for _ in range(4):
        assert unpack(packed) == data
    return packed


def refusal(packed):
    with pytest.raises((InvalidDataFormat, MessageTooLarge)) as caught:
        unpack(packed)
    return type(caught.value), str(caught.value), caught.value.path


def test_each_list_is_its_own():
    packed = learn(LEADS)
    first = unpack(packed)
    first[0] = "other"
    first.append("more")
    assert unpack(packed) == LEADS
    assert unpack(packed) is not unpack(packed)


@pytest.mark.parametrize("place", range(len(LEADS)))
@pytest.mark.parametrize("other", ["x", "VV", "", "\N{MICRO SIGN}", "k" * 40, 7, None, ["V1"], {"V1": 1}])
def test_another_value_at_each_place(place, other):
    learn(LEADS)
    changed = [other if i == place else lead for i, lead in enumerate(LEADS)]
    assert unpack(learn(changed)) == changed
    assert unpack(learn(LEADS)) == LEADS


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 15, 16, 64, 65, 300])
def test_lengths(count):
    texts = [f"t{i}" for i in range(count)]
    assert unpack(learn(texts)) == texts
    assert unpack(learn(["\N{GREEK SMALL LETTER MU}" * 20] * count)) == ["\N{GREEK SMALL LETTER MU}" * 20] * count
    assert unpack(learn([""] * count)) == [""] * count


def test_every_cut_is_refused_as_if_it_were_new():
    new = [refusal(msgpack.packb(LEADS)[:end]) for end in range(1, len(msgpack.packb(LEADS)))]
    packed = learn(LEADS)
    assert [refusal(packed[:end]) for end in range(1, len(packed))] == new


def test_a_list_that_leaves_too_few_bytes_for_the_values_around_it():
    packed = learn(LEADS)
    around = b"\xdc\x00\x29" + packed  # 41 values announced; the list has one byte less than that
    assert "announced" in refusal(around)[1]
    around = b"\xdc\x00\x1f" + packed
    kind, text, path = refusal(around)
    assert kind is InvalidDataFormat
    assert path == "data[0]"
    assert "12 values announced" in text


def test_a_list_at_the_deepest_place_and_below():
    packed = learn(LEADS)
    deepest = b"\x91" * (protocol.MAX_DEPTH - 1) + packed
    assert str(LEADS) in str(unpack(deepest))
    assert "inside one another" in refusal(b"\x91" + deepest)[1]


def test_texts_count_as_values():
    """A list costs one value, and so does each text, known or not."""
    packed = learn(LEADS)
    most = (protocol.MAX_VALUES - 1) // (1 + len(LEADS))
    for count in (most, most + 1):
        whole = b"\xdd" + count.to_bytes(4, "big") + packed * count
        if count == most:
            assert len(unpack(whole)) == count
        else:
            kind, _, path = refusal(whole)
            assert kind is MessageTooLarge
            assert path.startswith(f"data[{most}]")


def test_numeric_lists_are_still_arrays():
    learn(LEADS)
    codec = Codec(numeric_lists="ndarray")
    message = codec.decode(Codec().encode(protocol.MessageType.FEATURE_DATA, {"a": [1, 2, 3, 4], "b": LEADS}))
    assert message.data["a"].tolist() == [1, 2, 3, 4]
    assert message.data["b"] == LEADS


def test_many_lists_replace_one_another():
    lists = [[f"{first}{i}" for i in range(3 + first % 9)] for first in range(600)]
    for _ in range(2):
        for texts in lists:
            assert unpack(learn(texts)) == texts


MAP = {"kind": "pause", "severity": "info", "confidence": 0.5, "units": "mV", "stream": "ecg/bed-7", "empty": ""}


@pytest.mark.parametrize("key", list(MAP))
@pytest.mark.parametrize("other", ["x", "inf", "infox", "\N{MICRO SIGN}V", "k" * 40, 7, None, ["mV"], {"mV": 1}])
def test_another_value_of_each_key_of_a_known_map(key, other):
    packed = learn(MAP)
    changed = MAP | {key: other}
    assert unpack(msgpack.packb(changed)) == changed
    assert unpack(packed) == MAP
    assert unpack(learn(changed)) == changed


def test_every_cut_of_a_known_map_is_refused():
    packed = learn(MAP)
    for end in range(1, len(packed)):
        assert refusal(packed[:end])[0] is InvalidDataFormat
    entries = b"".join(msgpack.packb(key) + msgpack.packb(value) for key, value in list(MAP.items())[:-1])
    assert "same key twice" in refusal(b"\x86" + entries + b"\xa4kind\xa5pause")[1]


def test_texts_of_known_maps_count_as_values():
    """Each key costs one value, and so does each text."""
    texts = {f"key{i:02}": f"value{i}" for i in range(40)}
    packed = learn(texts)
    most = (protocol.MAX_VALUES - 1) // (1 + 2 * len(texts))
    assert len(unpack(b"\xdd" + most.to_bytes(4, "big") + packed * most)) == most
    kind, _, path = refusal(b"\xdd" + (most + 1).to_bytes(4, "big") + packed * (most + 1))
    assert kind is MessageTooLarge
    assert path.startswith(f"data[{most}]")
