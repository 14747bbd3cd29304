"""An invalid frame is skipped, or closes the connection. Peers that send too much are limited."""

import zlib

import oracle
import pytest
from session.conversation import client, server

from ecgframe import MessageType
from ecgframe.protocol import ERROR_BUDGET, CloseCode, ErrorCode
from ecgframe.session import ErrorReceived, FrameRefused, RateLimit, Received, Settings

pytestmark = pytest.mark.usefixtures("each_version")

T = oracle.TYPES
PING = oracle.encode_frame(T["PING"], {"n": 1}, 1)
BOMB = oracle.frame(2, T["ECG_DATA"], oracle.COMPRESSED, zlib.compress(b"\xc6\x00\x00\x40\x00" + bytes(0x4000)))

# what is wrong, the check that fails, the code, and what it costs
FAULTS = [
    ("", 1, 0x200, CloseCode.PROTOCOL_ERROR),
    ("03", 1, 0x200, CloseCode.PROTOCOL_ERROR),
    ("0510000000000000000000", 2, 0x100, CloseCode.PROTOCOL_ERROR),
    ("0113000000000000000000", 3, 0x104, CloseCode.PROTOCOL_ERROR),
    ("0111000000100100000000", 4, 0x102, CloseCode.TOO_LARGE),
    ("0111000000000200000000c0", 5, 0x200, CloseCode.PROTOCOL_ERROR),
    (oracle.frame(1, T["PING"], oracle.COMPRESSED, b"\xc3").hex(), 6, 0x200, CloseCode.PROTOCOL_ERROR),
    (oracle.frame(2, T["PING"], oracle.ENCRYPTED, b"\xc3").hex(), 6, 0x200, CloseCode.PROTOCOL_ERROR),
    (oracle.frame(1, T["PING"], 0, b"\xc3", checksum=1).hex(), 7, 0x101, None),
    (oracle.frame(3, T["PING"], oracle.ENCRYPTED, b"\xc3").hex(), 8, 0x202, None),
    (oracle.frame(2, T["PING"], oracle.COMPRESSED, b"\xc3").hex(), 9, 0x103, None),
    (BOMB.hex(), 10, 0x102, None),
    (oracle.frame(1, T["PING"], 0, b"\xc1").hex(), 11, 0x200, None),
    (oracle.frame(1, T["ERROR"], 0, b"\x80").hex(), 12, 0x201, None),
    (oracle.frame(1, T["ERROR"], 0, b"\xc0").hex(), 12, 0x200, None),
]


def refused(side, *messages):
    return [event for event in side.hears(*messages) if isinstance(event, FrameRefused)]


# --- one bad frame ---


@pytest.mark.parametrize("role", [server, client])
@pytest.mark.parametrize(("message", "check", "code", "close"), FAULTS, ids=[str(fault[1:3]) for fault in FAULTS])
def test_each_fault_costs_its_frame_or_the_connection(role, message, check, code, close):
    one = role(max_payload=4096).starts()
    one.says()
    message = bytes.fromhex(message)
    [event] = refused(one, message)
    assert (event.error.check, event.error.code, event.nbytes) == (check, code, len(message))
    [error] = one.tells()
    assert (error.type, error.version, error.flags) == (T["ERROR"], 1, 0)
    assert set(error.data) == {"code", "message"}
    assert error.data["code"] == code
    assert one.session.counters.refused == {code: 1}
    if close is None:
        assert one.session.closing is None
        one.hears(PING)
        assert [frame.type for frame in one.tells()] == [T["PONG"]]
    else:
        assert one.session.closing.code is close
        assert error.data["message"].startswith(one.session.closing.reason)
        assert one.hears(PING) == []
        assert one.says() == []


def test_the_error_leaves_before_the_connection_is_closed():
    theirs = server().starts()
    theirs.session.send(MessageType.ECG_DATA, {})
    theirs.hears(b"\x07" * 30)
    assert [frame.type for frame in theirs.tells()] == [T["PROTOCOL_NEGOTIATION"], T["ERROR"]]


def test_errors_say_where_and_quote_little():
    theirs = server().starts()
    theirs.says()
    theirs.hears(oracle.encode_frame(T["ERROR"], {"code": 1, "message": ["x" * 15_000]}))
    theirs.hears(oracle.encode_frame(T["PROTOCOL_NEGOTIATION"], {"version": 3, "capabilities": [{"x" * 15_000: 1}]}))
    for frame in theirs.tells():
        assert 'data["' in frame.data["message"]
        assert len(frame.data["message"]) <= 500


def test_a_long_path_is_cut():
    theirs = server(validate=True).starts()
    theirs.says()
    theirs.hears(oracle.encode_frame(T["FEATURE_DATA"], {"features": {"\U0001f493" * 5000: "x"}}))
    [frame] = theirs.tells()
    assert len(frame.data["message"]) <= 500


@pytest.mark.parametrize("text", ["", "hello", "{}", "x" * 100_000])
def test_a_text_message_is_refused_and_five_end_the_connection(text):
    theirs = server().starts()
    theirs.says()
    [event] = refused(theirs, text)
    assert (event.error.code, event.nbytes) == (0x200, 0)
    assert theirs.session.closing is None
    assert [frame.data["code"] for frame in theirs.tells()] == [0x200]
    theirs.hears(*[text] * 4)
    assert theirs.session.closing.code == 1002


# --- validation ---


@pytest.mark.parametrize("validate", [False, True])
def test_data_is_checked_where_that_is_wanted(validate):
    theirs = server(validate=validate).starts()
    events = theirs.hears(oracle.encode_frame(T["ECG_DATA"], {"signal": "flat"}))
    assert any(isinstance(event, Received) for event in events) != validate
    assert [event.error.code for event in events if isinstance(event, FrameRefused)] == [0x201] * validate


@pytest.mark.parametrize("validate", [False, True])
def test_aliases_and_nil(validate):
    theirs = server(validate=validate).starts()
    theirs.hears(oracle.encode_frame(T["ERROR"], {"code": 7, "message": "x", "details": None}))
    theirs.hears(oracle.encode_frame(T["ECG_DATA"], {"signal": [1], "samplingRate": 250}))
    assert theirs.told(ErrorReceived) == [ErrorReceived(7, "x", None)]
    [received] = theirs.told(Received)
    assert received.message.data == {"signal": [1], "sampling_rate" if validate else "samplingRate": 250}


def test_lists_as_arrays_where_that_is_wanted():
    theirs = server(numeric_lists="ndarray").starts()
    theirs.hears(oracle.encode_frame(T["ECG_DATA"], {"signal": [1, 2]}), oracle.encode_frame(T["PING"], [1, 2]))
    assert theirs.told(Received)[0].message.data["signal"].tolist() == [1, 2]


# --- errors of the peer ---


def test_an_error_is_told_and_not_answered():
    theirs = server().starts()
    theirs.says()
    theirs.hears(oracle.encode_frame(T["ERROR"], {"code": 0x203, "message": "no", "details": {"a": 1}}))
    assert theirs.told(ErrorReceived) == [ErrorReceived(0x203, "no", {"a": 1})]
    assert theirs.says() == []
    assert theirs.session.counters.errors == {0x203: 1}


def test_made_up_codes_are_counted_together():
    theirs = server().starts()
    for code in [*range(1000), 2**64 - 1, -(2**63)]:
        theirs.hears(oracle.encode_frame(T["ERROR"], {"code": code, "message": ""}))
    assert set(theirs.session.counters.errors) <= {0, *map(int, ErrorCode)}
    assert theirs.session.counters.errors.total() == 1002
    assert [event.code for event in theirs.told(ErrorReceived)][-2:] == [2**64 - 1, -(2**63)]


# --- the budget ---

SUM = oracle.frame(1, T["PING"], 0, b"\xc3", checksum=1)


def test_five_errors_in_ten_seconds_close():
    theirs = server().starts()
    for n in range(ERROR_BUDGET):
        assert theirs.session.closing is None
        theirs.clock.now = n * 2.4
        refused(theirs, SUM)
    assert theirs.session.closing.code == 1002
    assert len(theirs.told(FrameRefused)) == 5


def test_five_errors_in_more_than_ten_seconds_do_not():
    theirs = server(heartbeat_interval=1000.0).starts()
    for n in range(100):
        theirs.clock.now = n * 2.6
        refused(theirs, SUM)
    assert theirs.session.closing is None
    assert len(theirs.told(FrameRefused)) == 100


def test_good_frames_in_between_do_not_help():
    theirs = server().starts()
    theirs.hears(*[SUM, PING, PING, PING] * 5)
    assert theirs.session.closing.code == 1002


def test_errors_in_one_message_count_each():
    theirs = server().starts()
    assert len(refused(theirs, SUM * 100)) == 5
    assert theirs.session.closing.code == 1002


# --- too fast ---

LIMIT = RateLimit(frames=10, frames_burst=20, nbytes=1000, nbytes_burst=2000)


def limited(**settings):
    theirs = server(**{"rate_limit": LIMIT, "max_payload": 1000, "heartbeat_interval": 1000.0} | settings).starts()
    theirs.says()
    return theirs


def test_a_burst_and_then_the_rate():
    theirs = limited()
    theirs.hears(*[PING] * 30)
    assert len(theirs.told(FrameRefused)) == 1
    frames = theirs.tells()
    assert [frame.type for frame in frames].count(T["PONG"]) == 20
    [error] = [frame for frame in frames if frame.type == T["ERROR"]]
    assert error.data["code"] == 0x204
    theirs.clock.now = 0.5
    theirs.hears(*[PING] * 30)
    assert [frame.type for frame in theirs.tells()] == [T["PONG"]] * 5
    assert theirs.session.counters.refused == {0x204: 35}
    assert theirs.session.closing is None


def test_the_burst_comes_back_with_time():
    theirs = limited()
    for n in range(5):
        theirs.clock.now = n * 2.0
        theirs.hears(*[PING] * 20)
    assert theirs.told(FrameRefused) == []


def test_bytes_count_as_well():
    theirs = limited()
    frame = oracle.encode_frame(T["ECG_DATA"], {"pad": bytes(400)})
    theirs.hears(*[frame] * 6)
    assert len(theirs.told(Received)) == 4
    assert [event.error.code for event in theirs.told(FrameRefused)] == [0x204]


def test_frames_of_a_batch_count_each():
    theirs = limited()
    theirs.hears(PING * 30)
    assert [frame.type for frame in theirs.tells()].count(T["PONG"]) == 20


def test_told_once_a_second_and_closed_when_it_does_not_help():
    theirs = limited()
    for n in range(1000):
        theirs.clock.now = n / 100
        theirs.hears(*[PING] * 3)
        theirs.says()
        if theirs.session.closing:
            break
    assert theirs.session.closing.code is CloseCode.POLICY
    assert 4 <= theirs.clock.now < 7
    assert len(theirs.told(FrameRefused)) == 5


def test_messages_above_the_rate_limit_count_as_a_sign_of_life():
    theirs = limited(
        heartbeat_interval=1.0, rate_limit=RateLimit(frames=0.001, frames_burst=1, nbytes=1000, nbytes_burst=2000)
    )
    for _ in range(40):
        theirs.waits(0.1)
        theirs.hears(PING)
    assert theirs.session.closing is None or theirs.session.closing.code is CloseCode.POLICY


def test_the_largest_payload_passes():
    theirs = limited(max_payload=1900)
    frame = oracle.frame(3, T["ECG_DATA"], 0, oracle.pack(bytes(1900 - 3)))
    assert len(frame) == 1919
    theirs.hears(frame)
    assert len(theirs.told(Received)) == 1


@pytest.mark.parametrize("max_payload", [1982, 2000])
def test_a_rate_at_which_the_largest_payload_could_never_pass(max_payload):
    with pytest.raises(ValueError, match="nbytes_burst"):
        Settings(max_payload=max_payload, rate_limit=LIMIT)


@pytest.mark.parametrize("name", ["frames", "frames_burst", "nbytes", "nbytes_burst"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_rates_that_cannot_be(name, value):
    with pytest.raises(ValueError, match=name):
        RateLimit(**{name: value})


def test_the_default_rate_lets_the_largest_payload_through():
    Settings(rate_limit=RateLimit())


# --- settings ---


@pytest.mark.parametrize(
    "wrong",
    [
        {"versions": ()},
        {"versions": (1, 5)},
        {"capabilities": frozenset({"telepathy"})},
        {"max_payload": 0},
        {"max_payload": 2**32},
        {"heartbeat_interval": 0},
        {"heartbeat_interval": float("nan")},
        {"heartbeat_interval": float("inf")},
        {"acknowledgement_attempts": 0},
        {"queue_frames": 0},
        {"queue_bytes": -1},
        {"batch_bytes": 0},
    ],
    ids=str,
)
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)) if "capabilities" not in wrong else "does not have"):
        Settings(**wrong)


# --- refusals of the owner's ---


def test_the_owner_may_refuse():
    theirs = server().starts()
    theirs.says()
    theirs.session.refuse(ErrorCode.PERMISSION_DENIED, "no " * 1000, details={"stream": "a"})
    [error] = theirs.tells()
    assert error.data == {"code": 0x203, "message": ("no " * 1000)[:500], "details": {"stream": "a"}}
    assert theirs.session.closing is None
    theirs.session.refuse(ErrorCode.AUTHENTICATION_FAILED, "who are you?", close=CloseCode.POLICY)
    assert [frame.data["code"] for frame in theirs.tells()] == [0x202]
    assert theirs.session.closing == (1008, "who are you?")
