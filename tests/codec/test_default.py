"""``Codec(default=...)``: a function that converts objects that the protocol has no type for, in both cores."""

import copy
import dataclasses
import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from thoroughness import examples

import ecgframe
from ecgframe import Codec, MessageType

PACKAGES = [pytest.param(ecgframe, id="this core")]
if ecgframe.accelerated:
    import twin

    PACKAGES.append(pytest.param(twin.load_plain(), id="plain core"))
each_core = pytest.mark.parametrize("package", PACKAGES)


@dataclasses.dataclass
class Bed:
    number: int
    ward: object = "a"


class Odd:
    """Nothing converts it."""


def convert(value):
    if isinstance(value, Decimal | Fraction):
        return float(value)
    if isinstance(value, complex):
        return [value.real, value.imag]
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"not one of ours: {type(value).__name__}")


@each_core
def test_an_object_is_converted_and_so_is_what_is_in_the_result(package):
    codec = package.Codec(default=convert)
    data = {"bed": Bed(7, Bed(3)), "gain": [Decimal("0.5"), 1j], "tags": {2, 1}}
    plain = {"bed": {"number": 7, "ward": {"number": 3, "ward": "a"}}, "gain": [0.5, [0.0, 1.0]], "tags": [1, 2]}
    assert codec.pack(data) == package.pack(plain)
    into = bytearray(4096)
    size = codec.encode_into(into, 0, 1, data, timestamp=7)
    assert codec.encode(1, data, timestamp=7) == package.encode(1, plain, timestamp=7) == bytes(into[:size])
    assert codec.prepare(1, data).finish(7).frame == package.encode(1, plain, timestamp=7)


@each_core
def test_it_is_not_asked_for_what_can_be_packed(package):
    codec = package.Codec(default=lambda value: pytest.fail(f"asked for {value!r}"))
    data = {"a": [1, 0.5, None, True, "x", b"y", (1,), np.float32(1), np.arange(3)], 7: bytearray(b"z")}
    assert codec.pack(data) == package.pack(data)


@each_core
def test_scalars_of_numpy_without_a_type_in_the_protocol_are_converted(package):
    codec = package.Codec(default=lambda value: value.item().total_seconds())
    assert codec.pack([np.timedelta64(1500, "ms")]) == package.pack([1.5])


@each_core
def test_an_error_of_the_function_names_the_path_and_keeps_the_cause(package):
    codec = package.Codec(default=convert)
    with pytest.raises(TypeError, match=r'^data\["a"\]\[1\]: not one of ours: Odd$') as caught:
        codec.pack({"a": [0, Odd()]})
    assert isinstance(caught.value.__cause__, TypeError)

    def fail(value):
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk") as caught:
        package.Codec(default=fail).pack({"a": Odd()})
    assert any('data["a"]' in note for note in caught.value.__notes__)


@each_core
def test_what_it_returns_is_not_converted_again(package):
    calls = []

    def same(value):
        calls.append(value)
        return value

    with pytest.raises(TypeError, match=r'^data\["a"\]: cannot pack .*Odd, which default returned$'):
        package.Codec(default=same).pack({"a": Odd()})
    assert len(calls) == 1


@each_core
def test_conversions_are_bounded_by_the_depth(package):
    """An object that contains itself ends as any list that is nested too deep."""
    calls = []

    def nest(value):
        calls.append(value)
        return [value]

    with pytest.raises(ValueError, match="more than 64 arrays and maps inside one another"):
        package.Codec(default=nest).pack(Odd())
    assert len(calls) == 65


@each_core
def test_conversions_are_bounded_by_the_payload(package):
    """Each conversion packs a byte at least: an object that doubles itself at each level ends at the limit."""
    calls = []

    def double(bed):
        calls.append(bed)
        return [Bed(bed.number + 1)] * 2 if bed.number < 60 else 0

    with pytest.raises(package.MessageTooLarge) as caught:
        package.Codec(default=double, max_payload=1000).pack(Bed(0))
    assert len(calls) <= 1001
    assert caught.value.path.startswith("data[")


@each_core
def test_keys_are_not_converted(package):
    with pytest.raises(TypeError, match=r"map keys are str or int, not .*Fraction"):
        package.Codec(default=convert).pack({Fraction(1, 2): 0})


@each_core
def test_a_list_that_it_changes_is_refused(package):
    items = [Odd(), 1, 2]
    with pytest.raises(RuntimeError, match="the list changed size while it was packed"):
        package.Codec(default=lambda value: items.pop()).pack(items)


@each_core
def test_a_map_that_it_changes_is_refused(package):
    entries = {"a": Odd(), "b": 2}

    def change(value):
        entries.clear()
        return 0

    with pytest.raises(RuntimeError, match="the map changed while it was packed"):
        package.Codec(default=change).pack(entries)


@each_core
def test_it_may_encode_by_the_same_codec(package):
    codec = package.Codec(default=lambda value: codec.pack([value.number]))
    assert package.unpack(codec.pack([Bed(5), Bed(6)])) == [package.pack([5]), package.pack([6])]


def test_a_copy_of_the_codec_has_it():
    codec = Codec(default=convert)
    for again in (copy.copy(codec), pickle.loads(pickle.dumps(codec))):
        assert again.encode(MessageType.PING, {2, 1}, timestamp=1) == codec.encode(
            MessageType.PING, [1, 2], timestamp=1
        )
    assert "default=<function convert" in repr(codec)
    assert "default" not in repr(Codec())


def test_a_function_is_asked_for():
    with pytest.raises(TypeError, match="default is a function of the object to convert, not int"):
        Codec(default=1)


FOREIGN = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=2),
    st.fractions(),
    st.complex_numbers(allow_nan=False),
    st.builds(Bed, st.integers(0, 99)),
    st.frozensets(st.integers(0, 9), max_size=3),
    st.builds(Odd),
)
TREES = st.recursive(
    FOREIGN | st.integers(-9, 9) | st.text(max_size=3) | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=4),
    max_leaves=12,
)


def _converted(value):
    """The same by hand."""
    if isinstance(value, list):
        return [_converted(item) for item in value]
    if isinstance(value, dict):
        return {key: _converted(item) for key, item in value.items()}
    if isinstance(value, int | str | float | None):
        return value
    return _converted(convert(value))


@pytest.mark.slow
@given(TREES)
@examples(200, deadline=None)
def test_both_cores_convert_alike(tree):
    found = []
    for param in PACKAGES:
        [package] = param.values
        try:
            found.append(package.Codec(default=convert).pack(tree))
        except TypeError as error:
            found.append(str(error))
    try:
        by_hand = ecgframe.pack(_converted(tree))
    except TypeError:
        by_hand = found[0]
        assert "not one of ours: Odd" in by_hand
    assert found == [by_hand] * len(found)
