"""Objects that misreport themselves: whatever is encoded can be decoded, and the rest is refused with its path."""

import copy
import re
import sys
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from uuid import UUID

import numpy as np
import oracle
import pytest
import strategies
import twin
from hypothesis import given
from hypothesis import strategies as st

import ecgframe
from ecgframe import MessageType, decode, encode, pack, unpack

CORES = [ecgframe, twin.load_plain()] if ecgframe.accelerated else [ecgframe]
PATH = 'data["features"]["x"][3]'


def in_message(value):
    return {"features": {"x": [1, "b", None, value, 2.5]}, "n": 1}


def outcomes(make, form):
    """What each core makes of a message with the object in it, and that a reader of either kind reads what is sent.

    The object is made anew for each, since it may change when it is looked at.
    """
    results = []
    for package in CORES:
        result = twin.outcome(package.Codec(ndarray=form, compression=None).pack, in_message(make()))
        results.append(result)
        if isinstance(result, bytes):
            for numeric in ("list", "ndarray"):
                assert package.Codec(numeric_lists=numeric).unpack(result)["n"] == 1
        else:
            assert result.kind in {"TypeError", "ValueError", "OverflowError", "RuntimeError", "MessageTooLarge"}
            assert PATH in result.text
    assert all(twin.alike(results[0], other) for other in results[1:])
    return results[0]


def sent(make, form="list"):
    result = outcomes(make, form)
    assert isinstance(result, bytes), result
    return unpack(result)["features"]["x"][3]


def refused(make, kind):
    for form in ("list", "binary"):
        result = outcomes(make, form)
        assert not isinstance(result, bytes), unpack(result)
        assert result.kind == kind
    return result.text


# --- objects that say something else than they are ---

MOMENT = datetime(2024, 1, 15, 10, 30, 45, 123456)
NAME = UUID("550e8400-e29b-41d4-a716-446655440000")


def saying(base, **answers):
    """A subclass of which each method gives what it is told to; an exception is raised."""

    def method(answer):
        def say(self, *args, **kwargs):
            if isinstance(answer, Exception):
                raise answer
            return answer(self) if callable(answer) else answer

        return say

    return type("Liar", (base,), {name: method(answer) for name, answer in answers.items()})


class Zone(tzinfo):
    def __init__(self, *offsets):
        self.offsets = list(offsets)

    def utcoffset(self, moment):
        offset = self.offsets.pop(0) if len(self.offsets) > 1 else self.offsets[0]
        if isinstance(offset, Exception):
            raise offset
        return offset

    def dst(self, moment):
        return None

    def tzname(self, moment):
        return "\ud800"


class Masquerade:
    """An object whose class is said to be another's, as of a proxy or a mock."""

    def __init__(self, value):
        self.value = value

    __class__ = property(lambda self: type(self.value))

    def __getattr__(self, name):
        return getattr(self.value, name)


def test_nat_is_refused():
    not_a_time = saying(datetime, isoformat="NaT")
    text = refused(lambda: not_a_time(1, 1, 1), "TypeError")
    assert '"NaT"' in text
    for unit in ("ns", "D", "Y"):
        refused(lambda unit=unit: np.datetime64("NaT", unit), "TypeError")
        refused(lambda unit=unit: np.timedelta64("NaT", unit), "TypeError")
    refused(lambda: np.array(["NaT"], "M8[ns]"), "TypeError")


def test_the_times_of_pandas():
    pandas = pytest.importorskip("pandas")
    refused(lambda: pandas.NaT, "TypeError")
    refused(lambda: pandas.Timedelta("1s"), "TypeError")
    text = refused(lambda: pandas.Timestamp("2024-01-15T10:30:45.123456789"), "TypeError")
    assert "123456789" in text
    assert sent(lambda: pandas.Timestamp("2024-01-15T10:30:45.123456")) == MOMENT
    assert sent(lambda: pandas.Timestamp("2024-07-15T10:30", tz="Europe/Berlin")).isoformat().endswith("+02:00")


@pytest.mark.parametrize("own", ["NaT", "", "\ud800", None, 5, saying(str, __eq__=True, __ne__=False, __hash__=1)("x")])
def test_a_datetime_that_writes_something_else_is_refused(own):
    liar = saying(datetime, isoformat=own)
    refused(lambda: liar(2024, 1, 15), "TypeError")


def test_a_datetime_that_prints_otherwise_travels():
    liar = saying(datetime, __str__="never", __format__="never", strftime="never", utcoffset=timedelta(hours=3))
    assert sent(lambda: liar(2024, 1, 15)) == datetime(2024, 1, 15)


@pytest.mark.parametrize(
    "offset",
    [
        timedelta(seconds=7),
        timedelta(hours=-1, seconds=-7),
        timedelta(hours=1, microseconds=1),
        timedelta(hours=-1, microseconds=-1),
        timedelta(hours=23, minutes=59, seconds=59, microseconds=999999),
        -timedelta(hours=23, minutes=59, seconds=59, microseconds=999999),
        timedelta(0),
        None,
    ],
)
def test_any_offset_arrives_as_it_was(offset):
    for moment in (MOMENT, MOMENT.replace(microsecond=0)):
        assert sent(lambda moment=moment: moment.replace(tzinfo=Zone(offset))).utcoffset() == offset


def test_an_offset_that_would_arrive_as_another_is_refused():
    # Python reads an offset of less than a second as none: cpython, datetime.fromisoformat.
    aware = MOMENT.replace(tzinfo=timezone(timedelta(microseconds=-1)))
    if datetime.fromisoformat(aware.isoformat()) == aware:
        assert sent(lambda: aware) == aware
    else:
        refused(lambda: aware, "ValueError")


@pytest.mark.parametrize(
    ("offset", "kind"), [(timedelta(1), "ValueError"), ("x", "TypeError"), (ValueError("?"), "ValueError")]
)
def test_an_offset_that_is_none_has_its_path(offset, kind):
    refused(lambda: MOMENT.replace(tzinfo=Zone(offset)), kind)


def test_a_time_zone_with_a_changing_offset():
    liar = saying(datetime)
    refused(lambda: liar(2024, 1, 15, tzinfo=Zone(timedelta(0), timedelta(1, -1))), "TypeError")
    assert sent(lambda: datetime(2024, 1, 15, tzinfo=Zone(timedelta(0), timedelta(1, -1)))).utcoffset() == timedelta(0)


def test_the_name_of_a_time_zone_and_fold_are_not_sent():
    zoneinfo = pytest.importorskip("zoneinfo")
    try:
        berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    except zoneinfo.ZoneInfoNotFoundError:
        pytest.skip("no time zones here")
    for fold, hours in ((0, 2), (1, 1)):
        moment = datetime(2024, 10, 27, 2, 30, fold=fold, tzinfo=berlin)
        arrived = sent(lambda moment=moment: moment)
        assert arrived.utcoffset() == timedelta(hours=hours)
        assert type(arrived.tzinfo) is timezone  # the zone's name does not travel, and its offset does
    assert sent(lambda: MOMENT.replace(fold=1)).fold == 0


def broken_uuid(number):
    name = UUID(int=7)
    object.__setattr__(name, "int", number)
    return name


def test_a_uuid_travels_as_its_number():
    liar = saying(UUID, __str__="zz", __int__=5, __repr__="zz")
    assert sent(lambda: liar(int=NAME.int)) == NAME
    answers = {"int": property(lambda self: -1, UUID.int.__set__), "hex": property(lambda self: "zz")}
    hidden = type("Liar", (UUID,), answers)
    assert sent(lambda: hidden(str(NAME))) == NAME
    for number in (-1, 2**128, True):
        refused(lambda number=number: broken_uuid(number), "ValueError")
    refused(lambda: broken_uuid("7"), "ValueError")
    refused(lambda: UUID.__new__(UUID), "TypeError")


@pytest.mark.parametrize(
    ("base", "content", "answers"),
    [
        (str, "II", {"__str__": "V1", "__len__": 9, "__iter__": iter(""), "encode": b"?", "__getitem__": "\ud800"}),
        (str, "é" * 70_000, {"__str__": "V1", "__len__": 1, "encode": b"?", "__getitem__": ""}),
        (int, 7, {"__int__": 8, "__index__": 8, "__str__": "9", "__lt__": True, "bit_length": 1, "to_bytes": b""}),
        (int, 2**63 + 1, {"__int__": 8, "__lt__": False, "__gt__": True, "bit_length": 1}),
        (float, 1.5, {"__float__": 2.5, "__str__": "x", "hex": "x"}),
        (bytes, b"abc", {"__bytes__": b"", "__len__": 9, "__iter__": iter([]), "__getitem__": b""}),
        (bytearray, b"abc", {"__len__": 9, "__iter__": iter([]), "__getitem__": b""}),
        (dict, {"a": 1}, {"__len__": 9, "__contains__": True, "get": 5, "__bool__": False}),
        (list, [1, "a"], {"__len__": 10**18, "__getitem__": 5, "__bool__": False, "__length_hint__": 10**18}),
        (tuple, (1, "a"), {"__len__": 10**18, "__getitem__": 5, "__bool__": False}),
        (np.float64, 1.5, {"item": {1}, "tolist": {1}, "__float__": 2.5}),
        (np.int16, 7, {"item": {1}, "__int__": 2, "__index__": 3}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_lengths_are_taken_from_the_content_and_not_from_the_object(base, content, answers):
    liar = saying(base, **answers)
    arrived = sent(lambda: liar(content))
    expected = {bytearray: b"abc", tuple: [1, "a"]}.get(base, content)
    assert arrived == expected
    assert type(arrived) is type(expected)


def test_a_large_int_that_says_it_is_small_overflows():
    liar = saying(int, __lt__=True, __le__=True, bit_length="x", __int__=7)
    refused(lambda: liar(2**64), "OverflowError")
    refused(lambda: {liar(2**64): 1}, "OverflowError")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python has no __buffer__ before 3.12")
def test_bytes_with_another_buffer():
    liar = saying(bytes, __buffer__=memoryview(b"other"))
    assert sent(lambda: liar(b"abc")) == b"abc"
    refused(lambda: saying(bytearray, __buffer__=5)(b"abc"), "TypeError")


def released():
    view = memoryview(b"abc")
    view.release()
    return view


def test_a_memoryview_that_was_released():
    refused(released, "TypeError")


def test_dicts_and_lists_that_give_other_entries_travel_as_what_they_give():
    other_items = saying(list, __iter__=lambda self: iter([{"a": 1}, (2,)]))
    assert sent(lambda: other_items([5])) == [{"a": 1}, [2]]
    computed = type(
        "Computed", (dict,), {"__iter__": lambda self: iter("ab"), "__getitem__": lambda self, key: key * 2}
    )
    computed.keys = lambda self: list("ab")
    assert sent(computed) == {"a": "aa", "b": "bb"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: saying(list, __iter__=5)([1]),
        lambda: saying(dict, __iter__=5, keys=5)(a=1),
        lambda: saying(list, __iter__=TypeError("no"))([1]),
        lambda: saying(datetime, isoformat=TypeError("no"))(2024, 1, 15),
    ],
)
def test_objects_that_return_no_entries_are_refused(make):
    refused(make, "TypeError")


@pytest.mark.parametrize(
    "value", [{"a": 1}, [1], (1,), "a", 1, 1.5, True, b"a", MOMENT, NAME, np.zeros(2), np.float64(1), {1}, None]
)
def test_an_object_that_only_claims_a_class_is_refused(value):
    refused(lambda: Masquerade(value), "TypeError")
    refused(lambda: {Masquerade(value): 1}, "TypeError")


class Unhashable(type):
    def __hash__(cls):
        raise TypeError("no hash")

    def __eq__(cls, other):
        return True


def test_a_class_without_a_hash():
    refused(Unhashable("Odd", (), {}), "TypeError")
    assert sent(lambda: Unhashable("Odd", (str,), {})("a")) == "a"
    assert sent(lambda: [Unhashable("Odd", (int,), {})(7), 1]) == [7, 1]


# --- keys ---


def test_keys_that_are_the_same_on_the_wire_are_refused():
    text = saying(str, __hash__=id, __eq__=False)
    number = saying(int, __hash__=id, __eq__=False)
    for make in (
        lambda: {text("a"): 1, text("a"): 2},
        lambda: {text("a"): 1, "a": 2},
        lambda: {number(7): 1, 7: 2, "b": 3},
        lambda: dict.fromkeys([text("a") for _ in range(20)]),
    ):
        refused(make, "ValueError")
    assert sent(lambda: {text("a"): 1, text("b"): 2, number(1): 3, np.int8(4): 5}) == {"a": 1, "b": 2, 1: 3, 4: 5}


def test_a_key_is_sent_with_its_real_value():
    number = saying(int, __int__=7, __index__=7)
    assert sent(lambda: {number(3): 1, 7: 2}) == {3: 1, 7: 2}
    assert sent(lambda: {saying(str, __str__="b")("a"): 1}) == {"a": 1}
    assert sent(lambda: {saying(np.int16, item="x", __int__=9)(4): 1}) == {4: 1}


def test_an_error_below_an_odd_key_has_its_path():
    key = saying(str, __getitem__="?", __str__="?", encode=b"?")
    for package in CORES:
        with pytest.raises(TypeError, match=r'^data\["name"\]\[0\]:'):
            package.pack({key("name"): [{1}]})


# --- maps that look like wrappers ---


@pytest.mark.parametrize(
    "wrapper",
    [
        {"__datetime__": "zz"},
        {"__datetime__": 5},
        {"__datetime__": {"__datetime__": "2024-01-15"}},
        {"__datetime__": MOMENT},
        {"__uuid__": 1},
        {"__uuid__": "zz"},
        {"__uuid__": NAME},
        {"__ndarray__": [1, 2], "dtype": "f8", "shape": [3]},
        {"__ndarray__": [[1], [2, 3]], "dtype": "f8", "shape": [2, 2]},
        {"__ndarray__": bytes(7), "dtype": "f8", "shape": [1]},
        {"__ndarray__": [1], "dtype": "object", "shape": [1]},
        {"__ndarray__": [1], "dtype": 7, "shape": [1]},
        {"__ndarray__": [1.5], "dtype": "int16", "shape": [1]},
        {"__ndarray__": [70_000], "dtype": "int16", "shape": [1]},
        {"shape": [1], "dtype": "f8", "__ndarray__": ["x"]},
        {"__ndarray__": [1]},
        {"__ndarray__": [1], "shape": [1]},
        {"__ndarray__": np.zeros(2), "dtype": "f8", "shape": [2]},
    ],
    ids=str,
)
def test_an_invalid_wrapper_is_refused(wrapper):
    refused(lambda: copy.deepcopy(wrapper), "TypeError")
    refused(lambda: saying(dict)(wrapper), "TypeError")
    odd = saying(str, __hash__=id, __eq__=False)
    refused(lambda: {odd(key): value for key, value in wrapper.items()}, "TypeError")


def test_the_path_names_the_inconsistent_object():
    with pytest.raises(TypeError, match=r'^data\["a"\]\[0\]\["__ndarray__"\]\[1\]\[2\]: .*range of the array'):
        pack({"a": [{"__ndarray__": [[1, 2, 3], [4, 5, 600]], "dtype": "int8", "shape": [2, 3]}]})


def test_maps_that_are_true_wrappers_travel_as_what_they_wrap():
    assert sent(lambda: {"__datetime__": "2024-01-15T10:30:45.123456"}) == MOMENT
    assert sent(lambda: {"__uuid__": str(NAME)}) == NAME
    true = {"__ndarray__": [[1, 2], [3, 4]], "dtype": "int16", "shape": [2, 2]}
    assert np.array_equal(sent(lambda: true), [[1, 2], [3, 4]])
    plain = {"__datetime__": "zz", "zone": "UTC"}
    assert sent(lambda: plain) == plain
    assert sent(lambda: {"shape": {"dtype": "x"}}) == {"shape": {"dtype": "x"}}


# --- arrays ---


def test_arrays_with_false_attributes():
    answers = {
        name: property(lambda self, value=value: value)
        for name, value in {"dtype": np.dtype("f4"), "shape": (1,), "ndim": 1, "size": 1, "itemsize": 1}.items()
    }
    liar = type("Liar", (np.ndarray,), answers)
    loud = saying(np.ndarray, tolist="x", tobytes=b"x", astype=5, reshape=5, __array__=5, __len__=9, view=5)
    for array in (np.arange(6.0).reshape(2, 3), np.arange(6, dtype=">i4")[::2], np.array(True)):
        for form in ("list", "binary"):
            for kind in (liar, loud):
                arrived = sent(lambda kind=kind, array=array: np.ndarray.view(array, kind), form)
                assert arrived.dtype == array.dtype
                assert np.array_equal(arrived, array)


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.ma.masked_array([1.0, 2.0], [True, False]),
        lambda: np.ma.masked,
        lambda: np.ma.masked_array([1.0]).view(saying(np.ma.MaskedArray)),
        lambda: np.zeros(2, [("a", "f8"), ("b", "i4")]),
        lambda: np.zeros(2, [("a", "f8")])[0],
        lambda: np.rec.array([(1, 2.0)]),
        lambda: np.array([1, None]),
        lambda: np.array(["a"]),
        lambda: np.zeros(1, "c16"),
        lambda: np.zeros(1, "V4"),
        lambda: np.timedelta64(5, "s"),
        lambda: np.zeros(1, "m8[s]"),
    ],
)
def test_arrays_without_a_form(make):
    refused(make, "TypeError")


def test_dtypes_of_other_libraries_are_refused():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for name in ("bfloat16", "float8_e5m2", "float8_e4m3fn", "int4", "uint4"):
        refused(lambda name=name: np.zeros(2, getattr(ml_dtypes, name)), "TypeError")
        refused(lambda name=name: getattr(ml_dtypes, name)(1), "TypeError")


@pytest.mark.parametrize("value", [float("nan"), -0.0, float("inf"), np.float16("-inf"), np.array([np.nan, np.inf])])
def test_infinities_and_nans_are_sent(value):
    for form in ("list", "binary"):
        assert np.array_equal(sent(lambda: value, form), value, equal_nan=True)


# --- what changes while it is looked at ---


class Meddling(tzinfo):
    """Does something to a container when its datetime is encoded."""

    def __init__(self, meddle):
        self.meddle = meddle

    def utcoffset(self, moment):
        self.meddle()
        return timedelta(0)


@pytest.mark.parametrize(
    ("make", "meddle"),
    [
        (lambda trap: [1, trap, 2, 3], lambda box: box.clear()),
        (lambda trap: [1, trap, 2, 3], lambda box: box.append(4)),
        (lambda trap: [1, trap], lambda box: box.extend([4] * 100)),
        (lambda trap: {"a": 1, "b": trap, "c": 2}, lambda box: box.clear()),
        (lambda trap: {"a": 1, "b": trap, "c": 2}, lambda box: box.update(d=4)),
        (lambda trap: {"a": 1, "b": trap}, lambda box: box.update(d=4)),
        (lambda trap: {"a": trap}, lambda box: (box.pop("a"), box.update({str(n): n for n in range(50)}))),
    ],
)
def test_a_container_whose_length_changes_is_refused_with_its_path(make, meddle):
    def trapped():
        box = make(MOMENT.replace(tzinfo=Meddling(lambda: meddle(box))))
        return box

    assert "changed" in refused(trapped, "RuntimeError")


def test_entries_that_are_exchanged_while_they_are_packed():
    def trapped():
        box = {"a": 1, "b": MOMENT.replace(tzinfo=Meddling(lambda: (box.pop("a", None), box.setdefault("z", 5))))}
        return box

    for form in ("list", "binary"):
        outcomes(trapped, form)


# --- the count of values ---


MOST = 2**20
EACH_CORE = pytest.mark.parametrize(
    "package",
    [pytest.param(core, marks=() if core.accelerated else pytest.mark.slow) for core in CORES],
    ids=lambda core: core.__name__,
)


@EACH_CORE
@pytest.mark.parametrize(
    ("item", "share"),
    [
        ([], 1),
        *[
            pytest.param(item, share, marks=pytest.mark.slow)
            for item, share in [("a", 1), ({1: None}, 2), (MOMENT, 3), (b"", 4), (np.zeros(0), 8)]
        ],
    ],
    ids=repr,
)
def test_payloads_with_more_values_than_readers_accept_are_refused(package, item, share):
    """However readers count: what this one refuses is not sent."""
    for n in (MOST // share - 5, MOST // share + 1):
        data = {"n": 1, "items": [item] * n}
        made = twin.outcome(package.Codec(max_payload=2**27).pack, data)
        payload = (oracle.pack if item is MOMENT or isinstance(item, np.ndarray) else oracle.SCALARS.pack)(data)
        verdict = twin.outcome(lambda payload=payload: package.unpack(payload) and None)
        if verdict is None:
            assert made == payload
        else:
            assert (made.kind, made.code, made.path) == (verdict.kind, 0x102, verdict.path)
            assert verdict.text.startswith(made.text)
            assert n > MOST // share - 5


@EACH_CORE
def test_many_numbers_are_sent(package):
    numbers = [float(n) for n in range(MOST + 5)]
    rows = np.zeros((MOST + 5, 0))
    payload = package.pack({"numbers": numbers, "rows": rows, "leads": ["I", "II"]})
    assert package.unpack(payload)["numbers"] == numbers


# --- anything at all ---

TEXTS = st.one_of(st.text(max_size=5), st.sampled_from(["NaT", "zz", "\ud800", "__uuid__", "__ndarray__", "dtype"]))
ANSWERS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 2**65),
    TEXTS,
    st.binary(max_size=3),
    st.lists(st.integers(), max_size=3),
    st.sampled_from([{1}, object(), float("nan"), TypeError("no"), ValueError("no"), OverflowError("no")]),
)
METHODS = re.findall(
    r"\w+",
    """
    __str__ __repr__ __int__ __index__ __float__ __bytes__ __len__ __lt__ __bool__ __getitem__ __contains__ __format__
    encode isoformat utcoffset bit_length item items values get hex tolist tobytes astype reshape view copy __reduce__
    """,
)
BASES = st.one_of(
    st.text(max_size=40).map(lambda text: (str, (text,))),
    st.integers(-(2**70), 2**70).map(lambda number: (int, (number,))),
    st.floats().map(lambda number: (float, (number,))),
    st.binary(max_size=40).map(lambda octets: (bytes, (octets,))),
    st.binary(max_size=40).map(lambda octets: (bytearray, (octets,))),
    st.lists(st.one_of(strategies.scalars, st.lists(st.integers(), max_size=2)), max_size=4).map(
        lambda items: (list, (items,))
    ),
    st.lists(strategies.scalars, max_size=4).map(lambda items: (tuple, (items,))),
    st.dictionaries(st.one_of(TEXTS, st.integers()), strategies.scalars, max_size=4).map(
        lambda items: (dict, (items,))
    ),
    st.datetimes().map(lambda moment: (datetime, (*moment.timetuple()[:6], moment.microsecond))),
    st.uuids().map(lambda name: (UUID, (str(name),))),
    st.integers(-100, 100).map(lambda number: (np.int8, (number,))),
    st.floats().map(lambda number: (np.float64, (number,))),
)
OFFSETS = st.one_of(
    st.timedeltas(timedelta(-2), timedelta(2)),
    st.timedeltas(timedelta(seconds=-2), timedelta(seconds=2)),
    st.timedeltas(timedelta(-1), timedelta(1)).map(lambda offset: timedelta(seconds=int(offset.total_seconds()))),
    ANSWERS,
)


def subclasses(draw):
    base, args = draw(BASES)
    liar = saying(base, **draw(st.dictionaries(st.sampled_from(METHODS), ANSWERS, max_size=6)))
    return lambda: liar(*copy.deepcopy(args))


def moments(draw):
    moment, offset = draw(st.datetimes()), draw(OFFSETS)
    fold = draw(st.integers(0, 1))
    return lambda: moment.replace(tzinfo=Zone(offset), fold=fold)


def wrapper_maps(draw):
    wrapper = draw(st.one_of(strategies.wrappers(), strategies.nearly_arrays()))
    return lambda: copy.deepcopy(wrapper)


def array_subclasses(draw):
    array = draw(strategies.arrays())
    liar = saying(np.ndarray, **draw(st.dictionaries(st.sampled_from(METHODS), ANSWERS, max_size=6)))
    return lambda: np.ndarray.view(array, liar)


def maps_of_odd_keys(draw):
    names = draw(st.lists(st.one_of(st.sampled_from("ab"), st.integers(0, 2)), max_size=4))
    kinds = {of: saying(of, __hash__=id, __eq__=False) for of in (str, int)}
    return lambda: {kinds[type(name)](name): n for n, name in enumerate(names)}


def proxies(draw):
    value = draw(strategies.leaves)
    return lambda: Masquerade(value)


def uuids(draw):
    number = draw(st.one_of(ANSWERS, st.integers(2**128 - 2, 2**128 + 2)))
    return lambda: broken_uuid(number)


def containers(draw):
    base = draw(st.sampled_from([list, tuple, dict]))
    items = draw(st.lists(st.one_of(strategies.scalars, ANSWERS), max_size=4))
    content = [("a", 1)] if base is dict and draw(st.booleans()) else []
    return lambda: saying(base, __iter__=lambda self: iter(items), keys=items, __len__=10**18)(content)


KINDS = [subclasses] * 4 + [moments, wrapper_maps, array_subclasses, maps_of_odd_keys, proxies, uuids, containers]


@st.composite
def makers(draw):
    """A function that makes an object, alike each time: most of them say of themselves what is not so."""
    return draw(st.sampled_from(KINDS))(draw)


@given(makers(), st.sampled_from(["list", "binary"]))
def test_objects_that_misreport_themselves(make, form):
    """Sent and read, or refused with the path; both cores alike."""
    outcomes(make, form)


def test_an_error_of_the_objects_own_is_given_its_path_as_a_note():
    for package in CORES:
        with pytest.raises(OSError, match=r"^no such file") as caught:
            package.pack(in_message(saying(dict, __iter__=OSError("no such file"), keys=OSError("no such file"))(a=1)))
        assert caught.value.__notes__ == [f"while {PATH} was packed"]


@given(makers(), st.sampled_from([1, 2, 3]))
def test_frames_of_objects_that_misreport_themselves(make, version):
    frame = twin.outcome(encode, MessageType.FEATURE_DATA, in_message(make()), version=version)
    if isinstance(frame, bytes):
        assert decode(frame).data["n"] == 1


def test_a_datetime_in_utc_is_sent_with_its_offset():
    assert sent(lambda: MOMENT.replace(tzinfo=UTC)) == MOMENT.replace(tzinfo=UTC)
