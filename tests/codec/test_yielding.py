"""Other threads run while one packs or reads a million values."""

import contextlib
import threading
import time

import numpy as np
import pytest

import ecgframe
from ecgframe import Codec, MessageType
from ecgframe._core import work_in_background
from ecgframe.protocol import MAX_VALUES

CODEC = Codec(compression=None, max_payload=64 * 1024 * 1024)
COUNT = 1_500_000
MOST = MAX_VALUES - 10
LONGEST = 0.05
"""Seconds; without rests it is the whole of the work, 5 to 20 times as long."""

VALUES = {
    "nothings": lambda: [None] * 8 * COUNT,
    "integers": lambda: [100_000, -7] * COUNT,
    "texts": lambda: ["ab"] * MOST,
    "NumPy's bools": lambda: [np.True_] * (COUNT // 2),
    "maps": lambda: [{"a": 1}] * (MOST // 2),
    "a tuple": lambda: (None,) * 8 * COUNT,
    "a map": lambda: dict.fromkeys(range(MOST)),
}


def longest_wait_during(work):
    """Seconds for which a thread that wants to run all the time did not."""
    longest, over = 0.0, threading.Event()

    def run():
        try:
            work()
        finally:
            over.set()

    thread = threading.Thread(target=run)
    before = time.perf_counter()
    thread.start()
    while not over.is_set():
        time.sleep(0.001)
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
    thread.join()
    return longest


def is_short(work):
    """Return True if the wait is short in one of five attempts: a busy machine makes threads wait, too."""
    return any(longest_wait_during(work) < LONGEST for _ in range(5))


@pytest.mark.alone
@pytest.mark.skipif(not ecgframe.accelerated, reason="Python code rests by itself")
@pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)
def test_packing_releases_the_gil_at_times(make):
    values = make()
    assert is_short(lambda: CODEC.pack(values))


@pytest.mark.alone
@pytest.mark.skipif(not ecgframe.accelerated, reason="Python decodes a text in one go")
def test_reading_a_long_text_releases_the_gil_at_times():
    """What holds the others up is to lay the parts together, half of what one call takes that decodes the whole."""
    text = ("äb€" * (3 * 1024 * 1024)).encode()
    payload = CODEC.pack(text.decode())

    def decoding():
        began = time.perf_counter()
        text.decode()
        return time.perf_counter() - began

    whole = min(decoding() for _ in range(5))
    assert any(longest_wait_during(lambda: CODEC.unpack(payload)) < 0.8 * whole for _ in range(20))


@pytest.mark.alone
@pytest.mark.skipif(not ecgframe.accelerated, reason="Python code rests by itself")
def test_reading_and_background_threads_release_the_gil_at_times():
    payload = CODEC.pack([None] * 8 * COUNT)

    def read():
        work_in_background()
        CODEC.unpack(payload)

    assert is_short(lambda: CODEC.unpack(payload))
    assert is_short(read)


@pytest.mark.parametrize("change", [list.clear, lambda items: items.append(1), lambda items: items.pop()])
def test_a_list_that_changes_meanwhile_is_refused_or_packed_as_it_was(change):
    for _ in range(10):
        items = [1.5, None, "a"] * 100_000
        whole = CODEC.pack(items)
        outcome = []

        def pack(items=items, outcome=outcome):
            work_in_background()
            with contextlib.suppress(RuntimeError):
                outcome.append(CODEC.pack({"items": items}))

        thread = threading.Thread(target=pack)
        thread.start()
        time.sleep(0.002)
        change(items)
        thread.join()
        for payload in outcome:
            found = CODEC.unpack(payload)["items"]
            assert found == CODEC.unpack(whole) or found == items


@pytest.mark.slow
def test_a_map_that_changes_meanwhile_is_refused_or_packed_as_it_was():
    for attempt in range(10):
        entries = {number: [number] for number in range(200_000)}
        outcome = []

        def pack(entries=entries, outcome=outcome):
            work_in_background()
            with contextlib.suppress(RuntimeError):
                outcome.append(CODEC.pack(entries))

        thread = threading.Thread(target=pack)
        thread.start()
        time.sleep(0.002)
        if attempt % 2:
            entries.clear()
        else:
            entries["new"] = 1
        thread.join()
        for payload in outcome:
            assert len(CODEC.unpack(payload)) in (0, 200_000, 200_001)


def test_the_type_of_a_message_is_no_matter():
    assert CODEC.decode(CODEC.encode(MessageType.ECG_DATA, {"x": [None] * 5000})).data == {"x": [None] * 5000}
