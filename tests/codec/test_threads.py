"""A codec is safe to share."""

import contextlib
import sys
import threading

import numpy as np
import oracle
import pytest

from ecgframe import Codec, MessageType, ProtocolError

THREADS = 4


@pytest.fixture(autouse=True)
def quick_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def together(work):
    """Run ``work(n)`` in each of the threads at once and hand on what they raise."""
    errors = []
    start = threading.Barrier(THREADS)

    def run(n):
        start.wait()
        try:
            work(n)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def message(n, turn):
    size = (turn * 37 + n) % 700
    return {"who": n, "turn": turn, "signal": np.arange(size, dtype="float32") * (n + 1), "text": "x" * size}


@pytest.mark.parametrize(
    "options", [{"ndarray": "list"}, {"ndarray": "binary"}, {"ndarray": "binary", "compression": None}], ids=str
)
def test_threads_do_not_mix_their_messages(options):
    codec = Codec(**options)

    def work(n):
        for turn in range(250):
            sent = message(n, turn)
            frame = codec.encode(MessageType.ECG_DATA, sent, version=turn % 3 + 1)
            assert oracle.same(codec.decode(frame).data, sent)
            if turn % 50 == 0:
                assert oracle.same(oracle.decode_frame(frame).data, sent)

    together(work)


def test_errors_of_one_thread_do_not_reach_another():
    codec = Codec()
    good = codec.encode(MessageType.PING, {"signal": np.arange(300)})
    bad = good[:-1] + bytes([good[-1] ^ 1])

    def work(n):
        for _ in range(100):
            if n % 2:
                assert len(codec.decode(good).data["signal"]) == 300
                codec.encode(MessageType.PING, {"a": [1, 2, 3]})
            else:
                with pytest.raises(ProtocolError):
                    codec.decode(bad)
                with pytest.raises(TypeError):
                    codec.encode(MessageType.PING, {"a": {1}})

    together(work)


def test_one_buffer_is_read_by_all():
    codec = Codec(ndarray="binary", compression=None)
    signal = np.linspace(0, 1, 1000)
    frame = bytearray(codec.encode(MessageType.ECG_DATA, {"signal": signal}))

    def work(_):
        for _ in range(100):
            assert np.array_equal(codec.decode(frame).data["signal"], signal)

    together(work)
    frame.append(0)


@pytest.mark.parametrize("options", [{"ndarray": "list"}, {"ndarray": "binary"}], ids=str)
@pytest.mark.parametrize("dtype", ["int16", "float64"])
def test_large_frames_come_out_whole(options, dtype):
    codec = Codec(compression=None, **options)

    def work(n):
        signal = np.full((12, 5000), n, dtype)
        for turn in range(20):
            signal[turn % 12, turn] = turn
            decoded = codec.decode(codec.encode(MessageType.ECG_DATA, {"signal": signal, "sampling_rate": 500}))
            assert np.array_equal(decoded.data["signal"], signal)

    together(work)


def test_a_thread_that_does_something_else_after_a_large_frame_holds_nobody_up():
    codec, frames = Codec(compression=None), []
    sent, done = threading.Event(), threading.Event()

    def send_and_stay():
        frames.append(codec.encode(MessageType.ECG_DATA, {"signal": np.zeros((12, 5000))}))
        sent.set()
        done.wait()

    def read():
        sent.wait()
        for _ in range(100):
            assert not codec.decode(frames[0]).data["signal"].any()

    sender = threading.Thread(target=send_and_stay, daemon=True)
    reader = threading.Thread(target=read, daemon=True)  # lest a reader that is held up hold up the tests
    sender.start()
    reader.start()
    reader.join(120)
    assert not reader.is_alive()
    done.set()
    sender.join()


@pytest.mark.parametrize("dtype", ["int16", "int64", "uint32"])
def test_an_array_that_another_thread_writes_to_is_sent_as_it_was_at_some_time_or_not_at_all(dtype):
    samples = np.zeros((2, 10_000), dtype)
    widest = np.iinfo(dtype).max
    codec, sending = Codec(compression=None), threading.Event()

    def overwrite():
        while not sending.is_set():
            samples.fill(widest)
            samples.fill(0)

    thread = threading.Thread(target=overwrite)
    thread.start()
    try:
        for _ in range(100):
            with contextlib.suppress(RuntimeError):  # "the array changed while it was packed"
                frame = codec.encode(MessageType.ECG_DATA, {"signal": samples, "sampling_rate": 250})
                assert set(np.unique(codec.decode(frame).data["signal"])) <= {0, widest}
    finally:
        sending.set()
        thread.join()
