"""Sealed payloads: the vectors, what is refused, keys and keyrings, and the replay window."""

import copy
import json
import pickle
import sys

import pytest
from cases import each_case
from interpreter import python
from rendering import VECTORS

pytest.importorskip("cryptography")

import ecgframe
from ecgframe import ProtocolError, protocol, seal
from ecgframe.seal import (
    HookKeyring,
    Key,
    NotOpened,
    Opened,
    Opener,
    ReplayWindow,
    Sealer,
    StoredKeys,
    check_stream,
    keys_from_environment,
    keys_from_file,
    primitives,
    replay_window,
)
from ecgframe.seal import opener as opener_module
from ecgframe.seal.sealer import check_timestamp

V = json.loads((VECTORS / "seal.json").read_text(encoding="utf-8"))
SECRET = bytes.fromhex(V["key"]["secret"])
SENDER = bytes.fromhex(V["key"]["sender"])
HOW = ("version", "type", "flags", "form")
ALERT = ecgframe.pack({"kind": "asystole", "timestamp": 1705314645.25, "stream": "ecg/1"})
FRAME = {"version": 4, "type": 2, "stream": "ecg/1"}


def key_of(stream, id=9):
    return Key(id, stream, SECRET)


def opener(stream="ecg/1", **window):
    return Opener(StoredKeys([key_of(stream)]), ReplayWindow(**window))


class Drawn(Sealer):
    """Draws the sender of the vectors."""

    def _draw(self):
        return SENDER


def sealed(counter=0, key=None, payload=ALERT, **how):
    """Seal with the sender of the vectors, and this counter."""
    sealer = Drawn(key or key_of("ecg/1"))
    for _ in range(counter):
        sealer._sender.counter.take(1, 0, 0, 0)
    return sealer.seal(payload, **({"version": 4, "type": 2} | how))


def verdict(work):
    with pytest.raises(ProtocolError) as caught:
        work()
    return f"0x{caught.value.code:x}", caught.value.check, caught.value.reason


# --- vectors ---


@each_case("vector", V["sealed"], ids=lambda one: one["name"])
def test_the_vectors(vector):
    how = {name: vector[name] for name in HOW}
    payload = bytes.fromhex(vector["sealed"])
    opened = opener(vector["stream"]).open(payload, **how, stream=vector["stream"])
    assert opened == (bytes.fromhex(vector["plain"]), key_of(vector["stream"]), SENDER, vector["counter"])
    assert primitives.derive_cipher(key_of(vector["stream"]), SENDER)[1] is not None
    if vector["counter"] < 1000:
        made = sealed(vector["counter"], key_of(vector["stream"]), bytes.fromhex(vector["plain"]), **how)
        assert made == payload


def test_the_derived_key_and_iv_are_those_of_the_vector():
    okm = primitives.hkdf(SECRET, SENDER, b"ecgframe seal 1\0ecg/1", 44)
    assert okm.hex() == V["key"]["derived"] + V["key"]["iv"]


@each_case("vector", V["refused"], ids=lambda one: one["name"])
def test_the_refused_vectors(vector):
    how = {name: vector[name] for name in (*HOW, "stream")}
    one = opener()
    found = verdict(lambda: one.open(bytes.fromhex(vector["sealed"]), **how))
    assert found == (vector["code"], vector["check"], vector["reason"])
    assert one.window._keys == {}
    assert not one._derived


@each_case("vector", V["primitives"]["gcm"], ids=lambda one: one["name"])
def test_gcm(vector):
    key, nonce, plain, associated, text = (
        bytes.fromhex(vector[name]) for name in ("key", "nonce", "plain", "associated", "sealed")
    )
    cipher = primitives.cipher(key)
    assert primitives.decrypt(cipher, nonce, text, associated) == (plain if vector["valid"] else None)
    if vector["valid"]:
        assert cipher.encrypt(nonce, plain, associated) == text


@each_case("vector", V["primitives"]["hkdf"], ids=lambda one: one["okm"])
def test_hkdf(vector):
    secret, salt, info, okm = (bytes.fromhex(vector[name]) for name in ("secret", "salt", "info", "okm"))
    assert primitives.hkdf(secret, salt, info, len(okm)) == okm


# --- what was changed on the way ---


def test_every_bit_that_is_flipped():
    payload = sealed()
    for bit in range(8 * len(payload)):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 0x80 >> bit % 8
        if bit < 32:  # the key id
            assert opener().open(flipped, **FRAME) is NotOpened.UNKNOWN_KEY
        else:
            reason = "counter" if 96 <= bit < 104 else "tag"
            assert verdict(lambda flipped=flipped: opener().open(flipped, **FRAME)) == ("0x202", 8, reason)


def test_every_truncation():
    payload = sealed()
    for size in range(len(payload)):
        expected = ("0x200", None) if size < 32 else ("0x202", "tag")
        code, check, reason = verdict(lambda size=size: opener().open(payload[:size], **FRAME))
        assert (code, reason, check) == (*expected, 8)


@pytest.mark.parametrize(("version", "protected"), [(3, 0x01), (4, 0x41)])
def test_which_flags_and_form_are_protected(version, protected):
    payload = sealed(version=version)
    for bit in range(8):
        how = {**FRAME, "version": version, "flags": 1 << bit}
        if protected >> bit & 1:
            assert verdict(lambda how=how: opener().open(payload, **how))[2] == "tag"
        else:
            assert isinstance(opener().open(payload, **how), Opened)
        if version == 4:
            how = {**FRAME, "form": 1 << bit}
            if bit < 3:
                assert verdict(lambda how=how: opener().open(payload, **how))[2] == "tag"
            else:
                assert isinstance(opener().open(payload, **how), Opened)


def test_a_frame_of_another_stream():
    keys = StoredKeys([key_of("ecg/1"), key_of("ecg/2", 10)])
    payload = sealed(key=key_of("ecg/1"))
    assert verdict(lambda: Opener(keys).open(payload, **FRAME | {"stream": "ecg/2"})) == ("0x202", 8, "stream")
    other = payload[:3] + bytes([10]) + payload[4:]
    assert verdict(lambda: Opener(keys).open(other, **FRAME | {"stream": "ecg/2"})) == ("0x202", 8, "tag")


def test_the_stream_in_the_map():
    opened = opener().open(sealed(version=3), version=3, type=2, stream=None)
    check_stream(opened, ecgframe.unpack(opened.payload), version=3)
    check_stream(opened, {}, version=4)
    check_stream(opened, {"stream": "ecg/1"}, version=4)
    for data, version in [({}, 3), ([], 3), ({"stream": "ecg/2"}, 3), ({"stream": "ecg/2"}, 4), ({"stream": 1}, 4)]:
        assert verdict(lambda data=data, version=version: check_stream(opened, data, version=version)) == (
            "0x202",
            8,
            "stream",
        )
    unnamed = opened._replace(key=key_of(""))
    check_stream(unnamed, {}, version=3)
    assert verdict(lambda: check_stream(unnamed, {"stream": "ecg/1"}, version=3))[2] == "stream"


def test_an_unknown_key_is_no_error():
    assert Opener(StoredKeys()).open(sealed(), **FRAME) is NotOpened.UNKNOWN_KEY


def test_a_key_that_was_taken_away_opens_nothing():
    keys = StoredKeys([key_of("ecg/1")])
    one = Opener(keys)
    assert isinstance(one.open(sealed(), **FRAME), Opened)
    keys.remove(9)
    assert one.open(sealed(1), **FRAME) is NotOpened.UNKNOWN_KEY
    keys.add(Key(9, "ecg/1", bytes(32)))  # what was derived of the other one is not used
    assert verdict(lambda: one.open(sealed(1), **FRAME)) == ("0x202", 8, "tag")


def test_the_derived_keys_are_bounded():
    key, one = key_of("ecg/1"), opener(senders=4, all_senders=8)
    for _ in range(opener_module._MAX_DERIVED + 10):
        assert isinstance(one.open(Sealer(key).seal(ALERT, version=4, type=2), **FRAME), Opened)
    assert len(one._derived) == opener_module._MAX_DERIVED


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"type": 0x11}, "type 0x11 is not sealed"),
        ({"type": 0x20}, "type 0x20 is not sealed"),
        ({"version": 2}, "version 2 has no sealed payloads"),
        ({"version": 3, "form": 4}, "version 3 has no form"),
    ],
)
def test_a_sealer_refuses_invalid_headers(how, words):
    with pytest.raises(ValueError, match=words):
        sealed(**how)


def test_a_sealer_refuses_limits_out_of_range():
    with pytest.raises(ValueError, match="1 bytes at most"):
        Sealer(key_of("s"), nbytes=1).seal(b"12", version=4, type=1)
    for messages, nbytes in [(0, 1), (2**24 + 1, 1), (1, 0), (1, 2**38 + 1)]:
        with pytest.raises(ValueError, match="a sender has"):
            Sealer(key_of("s"), messages=messages, nbytes=nbytes)
    with pytest.raises(ValueError, match="version 3"):
        opener().open(sealed(), version=2, type=2, stream="ecg/1")
    for data in ({}, {"timestamp": None}, None):
        with pytest.raises(ValueError, match="timestamp"):
            check_timestamp(1, data)
    check_timestamp(1, {"timestamp": 0})
    check_timestamp(0x23, {})


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_any_buffer_is_sealed_and_opened(wrap):
    payload = Sealer(key_of("ecg/1")).seal(wrap(ALERT), version=4, type=2)
    assert opener().open(wrap(payload), **FRAME).payload == ALERT
    assert len(payload) == len(ALERT) + protocol.SEAL_OVERHEAD


# --- the replay window ---


def test_a_repeated_message():
    one = opener()
    first = one.open(sealed(), **FRAME)
    second = one.open(sealed(), **FRAME)  # before the first was taken from the queue
    assert one.take(first) is None
    assert one.take(second) is NotOpened.REPEATED
    assert one.open(sealed(), **FRAME) is NotOpened.REPEATED
    assert isinstance(one.open(sealed(), **FRAME, again=True), Opened)
    assert isinstance(Opener(one._keyring).open(sealed(), **FRAME), Opened)
    assert Opener(one._keyring, one.window).open(sealed(), **FRAME) is NotOpened.REPEATED  # over connections


def test_the_window_is_that_of_a_set():
    window, had, highest = ReplayWindow(window=3000), set(), -1
    counter = 0
    for step in range(20_000):
        counter = (counter * 1103515245 + 12345 + step) % 2**31
        number = step + counter % 5000
        expected = number in had or number <= highest - 3000
        assert (window.fault(9, SENDER, number) is NotOpened.REPEATED) == expected
        assert (window.take(9, SENDER, number) is NotOpened.REPEATED) == expected
        had.add(number)
        highest = max(highest, number)
    assert len(window._keys[9].kept[SENDER].blocks) <= 3000 // replay_window._BLOCK + 2


def test_the_window_has_65536_counters():
    window = ReplayWindow()
    assert window.take(9, SENDER, 2**20) is None
    assert window.take(9, SENDER, 2**20 - 2**16 + 1) is None
    assert window.take(9, SENDER, 2**20 - 2**16) is NotOpened.REPEATED


def test_an_evicted_sender_takes_nothing_up_to_its_highest_counter():
    window = ReplayWindow(senders=2, all_senders=4)
    a, b, c, d, e = (bytes([i]) * 8 for i in range(5))
    assert window.take(9, a, 1000) is None
    assert window.take(9, b, 5) is None
    assert window.take(9, c, 0) is None  # evicts a
    for counter in (0, 999, 1000):
        assert window.take(9, a, counter) is NotOpened.REPEATED
    assert window.take(9, a, 1002) is None  # comes back, and evicts b
    for counter in (0, 7, 1000, 1002):
        assert window.take(9, a, counter) is NotOpened.REPEATED
    assert window.take(9, a, 1001) is None
    assert window.take(9, b, 5) is NotOpened.REPEATED
    assert window.take(9, d, 0) is None
    assert window.take(9, e, 0) is NotOpened.TOO_MANY_SENDERS
    assert window.take(10, e, 0) is None  # each key has its own
    window.forget(9)
    assert window.take(9, e, 0) is None


def test_the_limits_of_the_window():
    window = ReplayWindow()
    for number in range(protocol.MAX_SENDERS):
        assert window.take(9, number.to_bytes(8, "big"), 7) is None
    assert window.take(9, bytes([255]) * 8, 0) is NotOpened.TOO_MANY_SENDERS
    senders = window._keys[9]
    assert (len(senders.kept), len(senders.kept) + len(senders.evicted)) == (64, 4096)


# --- keys ---


def test_keys_of_a_stream_over_time():
    now = [0.0]
    first, second = Key(1, "s", SECRET, ends=100), Key(2, "s", SECRET, begins=90)
    keys = StoredKeys([first, second], opens_after=60, now=lambda: now[0])
    found = []
    for moment in (0, 89, 90, 100, 159, 160):
        now[0] = moment
        found.append((keys.current("s"), keys.upcoming("s"), keys.find(1), keys.find(2)))
    assert found == [
        (first, second, first, second),
        (first, second, first, second),
        (second, None, first, second),
        (second, None, first, second),
        (second, None, first, second),
        (second, None, None, second),
    ]
    assert keys.current("t") is None
    assert StoredKeys([first]).find(1) == first


def test_a_sealed_stream_is_not_sent_in_plain_when_its_keys_have_ended():
    keys = StoredKeys([Key(1, "s", SECRET, ends=100), Key(2, "s", SECRET, begins=200)], now=lambda: 150.0)
    with pytest.raises(ValueError, match="none of the 2 keys of stream 's' is valid now"):
        keys.current("s")


def test_an_id_keeps_its_secret():
    keys = StoredKeys([key_of("s")])
    keys.add(Key(9, "s", SECRET, ends=5))
    for other in (Key(9, "s", bytes(32)), Key(9, "t", SECRET)):
        with pytest.raises(ValueError, match="id 9"):
            keys.add(other)
        with pytest.raises(ValueError, match="id 9"):
            keys.replace([other])
    assert keys.find(9) == Key(9, "s", SECRET, ends=5)
    with pytest.raises(ValueError, match="two stream keys"):
        StoredKeys([key_of("s"), key_of("s")])
    many = [Key(id, "s", SECRET) for id in range(protocol.MAX_STREAM_KEYS)]
    keys = StoredKeys(many)
    for work in (lambda: keys.add(Key(9999, "s", SECRET)), lambda: StoredKeys([*many, Key(9999, "s", SECRET)])):
        with pytest.raises(ValueError, match="more than 4096"):
            work()


def test_keys_of_a_hook():
    answers = [[key_of("s")], [key_of("s"), Key(10, "t", SECRET)]]
    keys = HookKeyring(lambda: answers.pop(0))
    assert keys.find(10) is None
    keys.refresh()
    assert keys.find(10).stream == "t"
    with pytest.raises(IndexError):
        keys.refresh()
    assert keys.find(9) == key_of("s")


ENTRY = {"stream": "ecg/1", "id": 9, "key": SECRET.hex()}
FAULTY_FILES = [
    (b"", "not JSON"),
    (b"\xff", "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (json.dumps([ENTRY]).encode()[:-1], "not JSON"),
    (json.dumps(ENTRY).encode(), "not a JSON list"),
    (json.dumps([5]).encode(), "entry 0: not a map"),
    (json.dumps([ENTRY, {"stream": "s"}]).encode(), "entry 1: 'id' is missing"),
    (json.dumps([ENTRY | {"end": 5}]).encode(), "entry 0: unknown field 'end'"),
    (json.dumps([ENTRY | {"key": SECRET.hex()[:-1]}]).encode(), "'key' must be 64 hexadecimal digits"),
    (json.dumps([ENTRY | {"key": "g" + SECRET.hex()[1:]}]).encode(), "the secret must have 32 bytes"),
    (json.dumps([ENTRY | {"key": " " * 32 + SECRET.hex()[32:]}]).encode(), "the secret must have 32 bytes"),
    (json.dumps([ENTRY | {"id": -1}]).encode(), "id must be an integer"),
    (json.dumps([ENTRY | {"id": True}]).encode(), "id must be an integer"),
    (json.dumps([ENTRY | {"id": 2**32}]).encode(), "id must be an integer"),
    (json.dumps([ENTRY | {"stream": "s" * 257}]).encode(), "stream must be text"),
    (json.dumps([ENTRY | {"stream": "\ud800"}]).encode(), "no UTF-8"),
    (json.dumps([ENTRY | {"begins": "now"}]).encode(), "begins must be Unix seconds"),
    (json.dumps([ENTRY | {"ends": float("nan")}]).encode(), "ends must be Unix seconds"),
    (json.dumps([ENTRY | {"begins": 5, "ends": 5}]).encode(), "ends before it begins"),
    (json.dumps([ENTRY, ENTRY]).encode(), "two stream keys have the id 9"),
    (b" " * (4 * 1024 * 1024 + 1), "more than"),
]


def assert_no_secret_in(error):
    """Neither the text, nor the cause, nor a variable of the package in the traceback has the secret."""
    seen = []
    while error is not None:
        seen.append(f"{error} {error.args!r} {vars(error)!r}")
        trace = error.__traceback__
        while trace is not None:
            if "ecgframe/" in trace.tb_frame.f_code.co_filename and "tests" not in trace.tb_frame.f_code.co_filename:
                seen.append(repr(trace.tb_frame.f_locals))
            trace = trace.tb_next
        error = error.__cause__ or error.__context__
    for form in (SECRET.hex()[32:], repr(SECRET)[2:-1]):
        assert form not in "".join(seen)


@each_case(("text", "words"), FAULTY_FILES, ids=lambda case: case[1])
def test_faulty_files_of_keys(text, words, tmp_path):
    path = tmp_path / "keys.json"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=words) as caught:
        keys_from_file(path)
    assert "keys.json" in str(caught.value)
    assert_no_secret_in(caught.value)


def test_keys_of_files_and_of_the_environment(tmp_path, monkeypatch):
    path = tmp_path / "keys.json"
    entries = [ENTRY | {"ends": 5.5}, ENTRY | {"id": 10, "begins": 5, "key": "AB" * 32}]
    path.write_text(json.dumps(entries))
    monkeypatch.setenv("KEYS", json.dumps(entries))
    for keys in (keys_from_file(path), keys_from_environment("KEYS")):
        assert keys.find(9) == Key(9, "ecg/1", SECRET, ends=5.5)
        assert keys.current("ecg/1") == Key(10, "ecg/1", b"\xab" * 32, begins=5)
    with pytest.raises(ValueError, match=r"NO_KEYS.*is not set"):
        keys_from_environment("NO_KEYS")
    with pytest.raises(FileNotFoundError):
        keys_from_file(tmp_path / "none.json")


def test_secrets_are_in_no_text_and_no_pickle():
    key = key_of("s")
    keys = StoredKeys([key])
    for one in (key, keys, Sealer(key), Opener(keys)):
        assert SECRET.hex()[:16] not in repr(one)
        assert repr(SECRET)[2:20] not in f"{one!r} {one}"
        assert not hasattr(one, "__dict__") or repr(SECRET)[2:20] not in repr(vars(one))
        for protocol_number in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError) as caught:
                pickle.dumps(one, protocol_number)
            assert repr(SECRET)[2:20] not in str(caught.value)
    assert copy.deepcopy(key) is key is copy.copy(key)
    with pytest.raises(ValueError, match="secret") as caught:
        Key(9, "s", SECRET + b"0")
    assert_no_secret_in(caught.value)
    assert Key(9, "s", SECRET) == key != Key(9, "s", bytes(32))
    assert len({key, Key(9, "s", SECRET)}) == 1


def test_without_the_library():
    code = """
import sys
sys.modules["cryptography"] = None
from ecgframe.seal import Key, Sealer, StoredKeys, Opener
keys = StoredKeys([Key(9, "s", bytes(32))])
for make in (lambda: Sealer(keys.find(9)), lambda: Opener(keys)):
    try:
        make()
    except ModuleNotFoundError as error:
        print(error)
"""
    done = python("-c", code)
    assert done.stdout.count('pip install "ecgframe[seal]"') == 2, done.stderr


def test_the_library_is_imported_when_it_is_first_used():
    done = python("-c", "import ecgframe.seal, ecgframe.signing, sys; print('cryptography' in sys.modules)")
    assert done.stdout == "False\n"
    assert sys.modules["ecgframe.seal"] is seal
