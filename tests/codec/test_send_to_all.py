"""One message to many sockets: who gets it, what a full or broken one has taken, and that both cores do the same."""

import os
import select
import socket
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgframe import _core
from ecgframe._core.plain import send_to_all as plain_module
from ecgframe.session import ServerSession, Settings

pytestmark = pytest.mark.skipif(not _core.CAN_SEND_TO_ALL, reason="sockets cannot be sent to without waiting here")

CORES = {"in use": _core, "plain": plain_module}
each_core = pytest.mark.parametrize("core", CORES.values(), ids=CORES)
ENCODING = {"an encoding"}
MESSAGE = bytes(range(256)) * 3
MANY = 150
"""Recipients, more than those for which the GIL is kept."""


@pytest.fixture
def pair():
    """Makes pairs of connected sockets: one to send with, and one to receive with. They end with the test."""
    with ExitStack() as stack:

        def make(family=socket.AF_UNIX, room=None):
            if family == socket.AF_UNIX:
                sender, receiver = socket.socketpair()
            else:
                with socket.create_server(("127.0.0.1", 0)) as listener:
                    receiver = socket.create_connection(listener.getsockname())
                    sender, _ = listener.accept()
            for each in (sender, receiver):
                stack.enter_context(each)
                each.setblocking(False)
            if room is not None:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
                receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
            return sender, receiver

        yield make


def recipient(core, sock=None, **differing):
    """Make a recipient that can take a message, but for what differs."""
    one = core.Recipient()
    usual = {"descriptor": -1 if sock is None else sock.fileno(), "encoding": ENCODING, "_room": 10_000}
    for name, value in (usual | differing).items():
        setattr(one, name, value)
    return one


def recorded(one):
    return one.passed, one._room, one._sent_at


def received(sock):
    """Return all that waits to be received."""
    found = b""
    while True:
        try:
            found += (more := sock.recv(1 << 16))
        except BlockingIOError:
            return found
        if not more:
            return found


@each_core
def test_a_new_recipient_has_no_socket(core):
    one = core.Recipient()
    assert (one.descriptor, one.is_held, one.has_waiting, one.closing, one.encoding) == (-1, False, False, None, None)
    assert recorded(one) == (0, 0, 0.0)


@each_core
@pytest.mark.parametrize("count", [0, 1, 5, MANY])
def test_all_get_the_message(core, count, pair):
    pairs = [pair() for _ in range(count)]
    recipients = tuple(recipient(core, sender) for sender, _ in pairs)
    assert core.send_to_all(recipients, ENCODING, MESSAGE, 700, 12.5) == []
    assert [received(receiver) for _, receiver in pairs] == [MESSAGE] * count
    assert [recorded(one) for one in recipients] == [(1, 9300, 12.5)] * count


NOT_READY = {
    "no socket": {"descriptor": -1},
    "held": {"is_held": True},
    "others wait": {"has_waiting": True},
    "no room": {"_room": -1},
    "closing": {"closing": (1000, "")},
}


@each_core
@pytest.mark.parametrize("differing", NOT_READY.values(), ids=NOT_READY)
def test_who_cannot_take_it_gets_nothing(core, differing, pair):
    pairs = [pair() for _ in range(3)]
    (first, _), (second, receiver), (third, _) = pairs
    ones = recipient(core, first), recipient(core, second, **differing), recipient(core, third)
    before = recorded(ones[1])
    assert core.send_to_all(ones, ENCODING, MESSAGE, 700, 1.0) == [(1, core.QUEUE)]
    assert received(receiver) == b""
    assert recorded(ones[1]) == before
    assert [one.passed for one in ones] == [1, 0, 1]


@each_core
def test_who_has_another_encoding_gets_nothing_though_it_is_equal(core, pair):
    sender, receiver = pair()
    other = recipient(core, sender, encoding=set(ENCODING))
    assert other.encoding == ENCODING
    assert other.encoding is not ENCODING
    assert core.send_to_all((other,), ENCODING, MESSAGE, 700, 1.0) == [(0, core.OTHER_ENCODING)]
    assert received(receiver) == b""
    assert other.passed == 0


@each_core
def test_the_last_room_is_enough(core, pair):
    """As in a session: how far the peer has read is looked up when the room is below 0."""
    sender, _ = pair()
    one = recipient(core, sender, _room=0)
    assert core.send_to_all((one,), ENCODING, MESSAGE, 700, 1.0) == []
    assert core.send_to_all((one,), ENCODING, MESSAGE, 700, 1.0) == [(0, core.QUEUE)]
    assert one._room == -700


@each_core
@pytest.mark.parametrize("count", [1, MANY])
def test_a_full_socket_tells_what_it_has_taken(core, count, pair):
    """Those after it get everything. A byte is missing nowhere, and comes nowhere twice."""
    message = os.urandom(1_000_000)
    pairs = [pair(socket.AF_INET, room=4096) for _ in range(count)]
    recipients = tuple(recipient(core, sender) for sender, _ in pairs)
    rest = core.send_to_all(recipients, ENCODING, message, len(message), 1.0)
    assert [index for index, _ in rest] == list(range(count))
    assert all(0 < taken < len(message) for _, taken in rest)
    for (_, taken), (_, receiver) in zip(rest, pairs, strict=True):
        found = b""
        while len(found) < taken:
            found += received(receiver)
        assert found == message[:taken]


@each_core
def test_a_socket_that_takes_nothing(core, pair):
    sender, receiver = pair(room=4096)
    filled = 0
    with suppress(BlockingIOError):
        while True:
            filled += sender.send(bytes(1024))
    one = recipient(core, sender)
    assert core.send_to_all((one,), ENCODING, MESSAGE, 700, 1.0) == [(0, 0)]
    assert recorded(one) == (1, 9300, 1.0)  # its transport is to write it all, so it counts
    assert len(received(receiver)) == filled


@each_core
def test_broken_sockets_take_nothing_and_end_nothing(core, pair):
    """A reset, a peer that is gone, and a descriptor that is none: the transport finds out what it is, once more."""
    (reset, peer), (gone, other), (sound, receiver) = pair(socket.AF_INET), pair(), pair()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.close()
    other.close()
    select.select([reset], [], [])
    closed = os.dup(sound.fileno())
    os.close(closed)
    descriptors = [reset.fileno(), gone.fileno(), closed, sound.fileno()]
    ones = tuple([recipient(core, descriptor=descriptor) for descriptor in descriptors])
    assert core.send_to_all(ones, ENCODING, MESSAGE, 700, 1.0) == [(0, 0), (1, 0), (2, 0)]
    assert received(receiver) == MESSAGE


@each_core
def test_what_is_recorded_adds_up(core):
    one = core.Recipient()
    one.record_sent(5, 1, 1.0)
    one.record_sent(1 << 40, 3, 2.0)
    assert recorded(one) == (4, -5 - (1 << 40), 2.0)


def test_a_session_is_a_recipient(pair):
    sender, receiver = pair()
    session = ServerSession(Settings(), lambda: 1)
    assert isinstance(session, _core.Recipient)
    assert not hasattr(session, "__dict__")
    session.descriptor = sender.fileno()
    while session.has_waiting:  # what a server says first
        session.next_message(0.0)
    assert _core.send_to_all((session,), session.encoding, MESSAGE, 700, 3.0) == []
    assert received(receiver) == MESSAGE
    assert session.passed == 1
    assert _core.send_to_all((session,), ("another",), MESSAGE, 700, 3.0) == [(0, _core.OTHER_ENCODING)]
    session.end()
    assert _core.send_to_all((session,), session.encoding, MESSAGE, 700, 3.0) == [(0, _core.QUEUE)]


@pytest.mark.skipif(not _core.accelerated, reason="the plain core asks for no types")
def test_nothing_but_recipients_of_a_tuple():
    with pytest.raises(TypeError):
        _core.send_to_all((object(),), ENCODING, MESSAGE, 700, 1.0)
    for wrong in ([], None):
        with pytest.raises(TypeError):
            _core.send_to_all(wrong, ENCODING, MESSAGE, 700, 1.0)
    for wrong in (bytearray(b"text"), None, "text"):
        with pytest.raises(TypeError):
            _core.send_to_all((), ENCODING, wrong, 700, 1.0)


CONDITIONS = st.fixed_dictionaries(
    {
        "descriptor": st.sampled_from([-1, 0, 1, 2]),  # which of the sockets; -1: none
        "is_held": st.booleans(),
        "has_waiting": st.booleans(),
        "closing": st.sampled_from([None, (), (1000, "")]),
        "encoding": st.sampled_from([ENCODING, None, "other"]),
        "_room": st.integers(-(2**40), 2**40),
        "passed": st.integers(0, 2**40),
    }
)


@given(st.lists(CONDITIONS, max_size=8), st.integers(0, 2**31), st.floats(0, 1e9))
def test_both_cores_decide_alike(conditions, nbytes, now):
    results = []
    for core in CORES.values():
        pairs = [socket.socketpair() for _ in range(3)]
        try:
            for each in (sock for one in pairs for sock in one):
                each.setblocking(False)
            ones = []
            for differing in conditions:
                number = differing["descriptor"]
                descriptor = -1 if number < 0 else pairs[number][0].fileno()
                ones.append(recipient(core, **(differing | {"descriptor": descriptor})))
            rest = core.send_to_all(tuple(ones), ENCODING, MESSAGE, nbytes, now)
            results.append((rest, [recorded(one) for one in ones], [received(receiver) for _, receiver in pairs]))
        finally:
            for sender, receiver in pairs:
                sender.close()
                receiver.close()
    assert results[0] == results[1]
