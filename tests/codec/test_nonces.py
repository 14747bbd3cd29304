"""No nonce repeats: over processes, forks, threads, copies, pickles and the end of a sender."""

import contextlib
import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interpreter import PACKAGES, TESTS

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ecgframe import _core
from ecgframe._core.plain import nonces as plain_nonces
from ecgframe.seal import Key, Opener, Sealer, StoredKeys

KEY = Key(9, "ecg/1", bytes(range(32)))
FEW = 4
"""Messages of a sender, in place of 2^24."""

can_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
each_counter = pytest.mark.parametrize("counter", [_core.NonceCounter, plain_nonces.NonceCounter])


def seal(sealer):
    """Seal a message; return the sender and the counter, of which the nonce and its key are a function."""
    return sealer.seal(b"text", version=4, type=1)[4:16]


# --- sealers that are broken, each in one way ---


class Restarting(Sealer):
    """Draws the same sender in each process and after each end."""

    def _draw(self):
        return b"ecgframe"


class OpenCounter:
    """A counter without any protection."""

    def __init__(self, head, iv, limit):
        self.head, self.iv, self.counter, self.limit = head, iv, 0, limit

    def take(self, type, flags, form, nbytes):
        counter = self.step()
        if counter is None:
            return None
        mixed = int.from_bytes(self.iv, "big") ^ counter
        return bytes((type, flags, form)) + self.head + counter.to_bytes(4, "big"), mixed.to_bytes(12, "big")

    def seal(self, encrypt, payload, type, flags, form, nbytes):
        taken = self.take(type, flags, form, nbytes)
        return None if taken is None else taken[0][3:] + encrypt(taken[1], payload, taken[0])

    def step(self):
        counter = self.counter
        self.counter += 1
        return counter if counter < self.limit else None


class Forking(Sealer):
    """Does not notice that it is in another process."""

    def _new_counter(self, head, iv):
        return OpenCounter(head, iv, self._max_messages)


class Racing(Sealer):
    """Reads the counter of a thread, and writes it after another thread has read it."""

    def _new_counter(self, head, iv):
        counter = OpenCounter(head, iv, self._max_messages)
        meeting = threading.Barrier(2)

        def step():
            before = counter.counter
            with contextlib.suppress(threading.BrokenBarrierError):
                meeting.wait(5)
            counter.counter = before + 1
            return before

        counter.step = step
        return counter


class Copying(Forking):
    """Can be copied."""

    def __deepcopy__(self, memo):
        twin = type(self)(self.key)
        counter = self._sender.counter
        twin._sender = self._sender._replace(counter=copy.copy(counter))
        return twin

    __copy__ = lambda self: self.__deepcopy__({})  # noqa: E731


class Pickling(Forking):
    """Can be pickled."""

    def __reduce_ex__(self, protocol):
        return made_again, (self._sender.counter.head, self._sender.counter.counter)


def made_again(head, counter):
    sealer = Pickling(KEY)
    sealer._sender.counter.head, sealer._sender.counter.counter = head, counter
    return sealer


class Wrapping(Sealer):
    """Begins again at 0 when its counter ends, with the same sender."""

    def _draw(self):
        self.drawn = getattr(self, "drawn", None) or os.urandom(8)
        return self.drawn


# --- what each of them may do ---


def two_makers(cls):
    return [seal(sealer) for sealer in (cls(KEY), cls(KEY)) for _ in range(3)]


def in_child(work):
    """Run ``work`` in the child of a fork, and return the bytes that it returned, in parts of 12."""
    reading, writing = os.pipe()
    gc.collect()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of forks beside threads
        child = os.fork()
    if not child:
        signal.alarm(20)  # where a lock is held for ever
        try:
            os.write(writing, b"".join(work()))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        octets = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return [octets[at : at + 12] for at in range(0, len(octets), 12)]


def a_fork(cls):
    sealer = cls(KEY)
    found = [seal(sealer)]
    found += in_child(lambda: [seal(sealer), *in_child(lambda: [seal(sealer)])])
    return [*found, seal(sealer)]


def two_threads(cls):
    sealer, found = cls(KEY), []
    threads = [threading.Thread(target=lambda: found.extend([seal(sealer)])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def a_copy(cls):
    sealer = cls(KEY)
    twins = [sealer]
    for copied in (copy.copy, copy.deepcopy):
        try:
            twins.append(copied(sealer))
        except TypeError:
            continue
    return [seal(twin) for twin in twins]


def a_pickle(cls):
    sealer = cls(KEY)
    twins = [sealer]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        try:
            twins.append(pickle.loads(pickle.dumps(sealer, protocol)))
        except TypeError:
            continue
    return [seal(twin) for twin in twins]


def an_end(cls):
    sealer = cls(KEY, messages=FEW)
    return [seal(sealer) for _ in range(3 * FEW)]


def an_end_of_bytes(cls):
    sealer = cls(KEY, nbytes=2 * len(b"text"))
    return [seal(sealer) for _ in range(6)]


def renewed(cls):
    sealer, found = cls(KEY), []
    for _ in range(3):
        found.append(seal(sealer))
        sealer.renew()
    return found


WAYS = [two_makers, a_fork, two_threads, a_copy, a_pickle, an_end, an_end_of_bytes, renewed]
if not hasattr(os, "fork"):
    WAYS.remove(a_fork)


@pytest.mark.parametrize("way", WAYS)
def test_no_nonce_repeats(way):
    found = way(Sealer)
    assert len(found) >= 1
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("broken", "way"),
    [
        (Restarting, two_makers),
        pytest.param(Forking, a_fork, marks=can_fork),
        (Racing, two_threads),
        (Copying, a_copy),
        (Pickling, a_pickle),
        (Wrapping, an_end),
        (Wrapping, an_end_of_bytes),
        (Restarting, renewed),
    ],
)
def test_a_broken_sealer_is_found_out(broken, way):
    found = way(broken)
    assert len(set(found)) < len(found)


@given(
    st.lists(st.sampled_from(["seal", "make", "renew", "copy", "pickle", "threads"]), max_size=40), st.integers(1, 5)
)
def test_no_nonce_repeats_in_any_order(steps, messages):
    sealers, found = [Sealer(KEY, messages=messages)], []
    for number, step in enumerate(steps):
        sealer = sealers[number % len(sealers)]
        if step == "make":
            sealers.append(Sealer(KEY, messages=messages))
        elif step == "renew":
            sealer.renew()
        elif step in ("copy", "pickle"):
            with pytest.raises(TypeError):
                copy.deepcopy(sealer) if step == "copy" else pickle.dumps(sealer)
        elif step == "threads":
            threads = [threading.Thread(target=lambda one=sealer: found.append(seal(one))) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        found.append(seal(sealer))
    assert len(set(found)) == len(found)


def test_another_process_draws_another_sender():
    code = f"from ecgframe.seal import Key, Sealer; s = Sealer(Key(9, 'ecg/1', {KEY.secret!r}))\n"
    code += "for _ in range(3): print(s.seal(b'', version=4, type=1)[4:16].hex())"
    found = []
    for _ in range(2):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (PACKAGES, TESTS)))}
        done = subprocess.run([sys.executable, "-P", "-c", code], env=environment, capture_output=True, check=True)
        found += done.stdout.split()
    assert len(set(found)) == len(found) == 6


@can_fork
@pytest.mark.parametrize("hook", [True, False])
def test_a_fork_is_seen_by_its_hook_and_by_the_number_of_the_process(hook, monkeypatch):
    """A process in a namespace of its own may have its parent's number; a fork in C does not run the hook."""
    sealer = Sealer(KEY)
    if hook:
        _core.count_fork()
        plain_nonces.count_fork()
        assert seal(sealer)[:8] != sealer.seal(b"", version=4, type=1)[:8]
    counter = plain_nonces.NonceCounter(bytes(12), bytes(12), 5, 100)
    assert counter.take(1, 0, 0, 0)
    if hook:
        plain_nonces.count_fork()
    else:
        monkeypatch.setattr(os, "getpid", lambda: -1)
    assert counter.take(1, 0, 0, 0) is None


def test_the_sender_changes_after_a_counted_fork():
    sealer = Sealer(KEY)
    before = seal(sealer)
    assert seal(sealer)[:8] == before[:8]
    _core.count_fork()
    after = seal(sealer)
    assert after[:8] != before[:8]
    assert after[8:] == bytes(4)


@can_fork
def test_a_fork_while_another_thread_holds_the_lock():
    counter = plain_nonces.NonceCounter(bytes(12), bytes(12), 5, 100)
    sealer = Sealer(KEY)
    sealer._sender = sealer._sender._replace(counter=counter)
    with counter._lock:
        [found] = in_child(lambda: plain_nonces.count_fork() or [seal(sealer)])
    assert found[8:] == bytes(4)
    assert found[:8] != bytes(8)


@each_counter
def test_a_counter_gives_each_number_once_until_its_limit(counter):
    head, iv = bytes(range(12)), bytes(range(100, 112))
    one = counter(head, iv, 300, 10)
    found = [one.take(1, 0x41, 4, 0) for _ in range(300)]
    assert one.take(1, 0x41, 4, 0) is None
    for number, (associated, nonce) in enumerate(found):
        assert associated == bytes((1, 0x41, 4)) + head + number.to_bytes(4, "big")
        assert nonce == (int.from_bytes(iv, "big") ^ number).to_bytes(12, "big")


@each_counter
def test_when_a_counter_ends(counter):
    one = counter(bytes(12), bytes(12), 2**40, 10)
    assert one.take(1, 0, 0, 7)
    assert one.take(1, 0, 0, 4) is None
    assert one.take(1, 0, 0, 3)
    assert one.take(1, 0, 0, 1) is None
    with pytest.raises(ValueError, match="12 bytes"):
        counter(bytes(11), bytes(12), 1, 1)
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            copied(one)


@pytest.mark.slow
def test_a_counter_ends_before_it_has_25_bits():
    one = _core.NonceCounter(bytes(12), bytes(12), 2**40, 10)
    while (taken := one.take(1, 0, 0, 0)) is not None:
        last = taken
    assert last[0][-4:] == b"\x00\xff\xff\xff"


@pytest.mark.slow
def test_many_threads_at_an_end():
    sealer, found = Sealer(KEY, messages=1), []
    threads = [threading.Thread(target=lambda: found.extend([seal(sealer) for _ in range(200)])) for _ in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(set(found)) == len(found) == 1600


@each_counter
@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 100_000])
def test_what_the_cipher_writes_in_place_is_the_same(counter, size):
    aead = AESGCM(bytes(range(32)))
    if not hasattr(aead, "encrypt_into"):
        pytest.skip("cryptography before 47")
    payload = os.urandom(size)
    one, other = (counter(bytes(range(12)), bytes(range(12)), 3, 2 * size) for _ in range(2))
    for _ in range(2):
        sealed = one.seal(aead.encrypt, payload, 1, 0, 4, size)
        assert sealed == other.seal_into(aead.encrypt_into, payload, 1, 0, 4, size)
        assert len(sealed) == size + 32
    assert size == 0 or other.seal_into(aead.encrypt_into, payload, 1, 0, 4, size) is None


@each_counter
def test_a_cipher_that_fails_in_place_has_used_up_its_nonce(counter):
    taken = []

    def fail(nonce, payload, associated, buffer):
        taken.append(bytes(nonce))
        raise RuntimeError("no")

    one = counter(bytes(12), bytes(12), 5, 100)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no"):
            one.seal_into(fail, b"text", 1, 0, 0, 4)
    assert len(set(taken)) == 2


def test_large_payloads_of_a_sealer_open_again():
    sealer, opener = Sealer(KEY), Opener(StoredKeys([KEY]))
    for size in (4095, 4096, 70_000):
        payload = os.urandom(size)
        for same in (payload, bytearray(payload), memoryview(payload)):
            sealed = sealer.seal(same, version=4, type=1)
            assert opener.open(sealed, version=4, type=1, stream="ecg/1").payload == payload


FORK_IN_C = """
import ctypes, os
from ecgframe._core import NonceCounter

counter = NonceCounter(bytes(12), bytes(12), 100, 10_000)
first = counter.take(1, 0, 4, 10)
read, write = os.pipe()
child = ctypes.PyDLL(None).fork()
if child == 0:
    own = NonceCounter(bytes(12), bytes(12), 9, 99)
    os.write(write, repr((counter.take(1, 0, 4, 10), own.take(1, 0, 4, 10))).encode())
    os._exit(0)
os.waitpid(child, 0)
assert os.read(read, 1000) == repr((None, first)).encode()
assert counter.take(1, 0, 4, 10) != first
"""


@can_fork
def test_a_fork_that_c_makes_is_seen_by_the_number_of_the_process():
    """It runs no hook. The child's own counters count."""
    done = subprocess.run([sys.executable, "-c", FORK_IN_C], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
