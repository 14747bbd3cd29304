"""A viewer of the history of a sealed stream, as a session without a network: what comes again, what is replayed."""

import numpy as np
import pytest
from session.test_sealed_sessions import ALERT, ALERT_TYPE, DATA, KEY, NEXT, STREAM, TEMPLATE, TEMPLATE_TYPE, Viewer

from ecgframe import Flag, MessageType
from ecgframe.protocol import Form
from ecgframe.seal import StoredKeys
from ecgframe.session import FrameRefused, FramesUnopened, KeyMissing, Received
from ecgframe.session.sealed_streams import window_of_history

pytest.importorskip("cryptography")

LIVE, PAST, AGAIN = 7, 8, 9
"""Ids of what is live, and of two histories."""


def ecg(n):
    return {
        "signal": np.full((2, 4), n, "int16"),
        "stream": STREAM,
        "sampling_rate": 500,
        "timestamp": 1705314645.0 + n,
    }


def moved(frame, id, form=Form.BULK):
    """The frame with another id and form, which the seal does not protect."""
    return frame[:19] + bytes([frame[19] | form]) + id.to_bytes(4, "big") + frame[24:]


class Reviewer(Viewer):
    """A viewer that gets histories as well."""

    def begins(self, number, id, *keys, window=None, templates=()):
        self.session.ask_history(STREAM, number, 0, window=window)
        self.tells()
        return self.answers(*keys, history=number, id=id, end=1000, templates=list(templates))

    def answers(self, *keys, next=1, templates=(), id=LIVE, **more):
        data = {"stream": STREAM, "status": "subscribed", "epoch": 1000, "next": next, "id": id, **more}
        data["templates"] = list(templates)
        if keys:
            data["keys"] = [{"id": one.id, "key": one.secret} for one in keys]
        return self.hears(self.codec.encode(MessageType.SUBSCRIPTION_ACK, data))

    def had(self, history=None):
        """The values of the samples that came live, or in a history."""
        events = [event for event in self.told(Received) if event.stream.history == history]
        return [int(event.message.data["signal"][0, 0]) for event in events if event.message.type is DATA]


def test_what_was_live_comes_again_in_a_history_once():
    viewer = Reviewer()
    viewer.answers(KEY)
    frames = [viewer.frame(DATA, ecg(n)) for n in range(5)]
    for frame in frames:
        viewer.hears(frame)
    viewer.begins(1, PAST, KEY)
    for frame in frames + frames:
        viewer.hears(moved(frame, PAST))
    assert viewer.had() == viewer.had(1) == list(range(5))
    assert viewer.session.counters.sealed == {"opened": 10, "repeated": 5}
    assert not viewer.refused()


def test_a_history_opens_no_door_to_what_is_live():
    """What a history has had may still come live, and what was live stays a repetition there."""
    viewer = Reviewer()
    viewer.answers(KEY)
    frames = [viewer.frame(DATA, ecg(n)) for n in range(6)]
    for frame in frames[:3]:
        viewer.hears(frame)
    viewer.begins(1, PAST, KEY)
    for frame in frames:
        viewer.hears(moved(frame, PAST))
    for n, frame in enumerate(frames[:3]):  # replayed, under new numbers
        viewer.hears(frame[:24] + (100 + n).to_bytes(8, "big") + frame[32:])
    assert viewer.had() == [0, 1, 2]
    for frame in frames[3:]:
        viewer.hears(frame)
    assert viewer.had() == viewer.had(1) == list(range(6))
    assert not viewer.refused()


def test_each_history_has_counters_of_its_own_that_outlive_its_requests():
    viewer = Reviewer()
    viewer.answers(KEY)
    frames = [viewer.frame(DATA, ecg(n)) for n in range(6)]
    window = window_of_history()
    viewer.begins(1, PAST, KEY, window=window)
    for frame in frames[:4]:
        viewer.hears(moved(frame, PAST))
    viewer.hears(
        viewer.codec.encode(MessageType.SUBSCRIPTION_ACK, {"stream": STREAM, "status": "unsubscribed", "history": 1})
    )
    viewer.begins(2, AGAIN, KEY, window=window)  # the rest of the first, over another request
    for frame in frames:
        viewer.hears(moved(frame, AGAIN))
    assert viewer.had(1) + viewer.had(2) == list(range(6))
    viewer.begins(3, 10, KEY)
    for frame in frames:
        viewer.hears(moved(frame, 10))
    assert viewer.had(3) == list(range(6))


def test_counters_may_go_back_within_a_history():
    """A server seals old messages again, with later counters than those that follow them."""
    viewer = Reviewer()
    viewer.answers(KEY)
    old = [viewer.frame(DATA, ecg(n), number=10 + n) for n in range(3)]
    for _ in range(70_000):
        viewer.sealers[KEY.id].seal(b"", version=4, type=DATA)
    again = [viewer.frame(DATA, ecg(n), number=1 + n) for n in range(3)]
    viewer.begins(1, PAST, KEY)
    for frame in again + old:
        viewer.hears(moved(frame, PAST))
    assert viewer.had(1) == [0, 1, 2, 0, 1, 2]


def test_templates_of_an_answer_and_keys_without_a_subscription():
    viewer = Reviewer()
    viewer.streams.end(STREAM)
    template = moved(viewer.frame(TEMPLATE_TYPE, TEMPLATE.fields_on_the_wire()), PAST, 0)
    samples = np.arange(8, dtype="int16").reshape(2, 4)
    record = TEMPLATE.encode(samples, 1705314645250000, bound=True)
    frame = moved(viewer.frame(DATA, record, form=Form.RECORD), PAST)
    viewer.begins(1, PAST, KEY, templates=[template])
    viewer.hears(frame)
    [event] = viewer.told(Received)
    assert np.array_equal(event.message.data["signal"], samples)
    assert "keys" not in repr(viewer.tells())


def test_keys_are_not_asked_for_where_the_application_has_some():
    viewer = Reviewer(keyring=StoredKeys([KEY]))
    viewer.session.ask_history(STREAM, 1, 0)
    assert viewer.tells()[-1].data["keys"] is False


def test_keys_of_a_history_that_nobody_asked_for_are_not_taken():
    viewer = Reviewer()
    viewer.streams.end(STREAM)
    viewer.answers(KEY, history=1, id=PAST, end=10)
    assert viewer.session._sealed.find(KEY.id) is None


def test_an_unknown_key_in_a_history_is_told_and_holds_up_nothing():
    viewer = Reviewer()
    viewer.answers(KEY)
    viewer.begins(1, PAST, KEY)
    viewer.hears(moved(viewer.frame(DATA, ecg(0), NEXT), PAST))
    for n in range(1, 4):
        viewer.hears(viewer.frame(DATA, ecg(n)))
        viewer.hears(moved(viewer.frame(DATA, ecg(10 + n)), PAST))
    assert viewer.had() == [1, 2, 3]
    assert viewer.had(1) == [11, 12, 13]
    [lost] = viewer.told(FramesUnopened)
    assert (lost.stream, lost.frames, lost.history) == (STREAM, 1, 1)
    assert not viewer.told(KeyMissing)
    assert not viewer.refused()


def test_a_history_does_not_wait_behind_live_frames_without_a_key():
    viewer = Reviewer()
    viewer.answers(KEY)
    viewer.begins(1, PAST, KEY)
    viewer.hears(viewer.frame(DATA, ecg(0), NEXT))
    viewer.hears(moved(viewer.frame(DATA, ecg(1)), PAST))
    assert viewer.had(1) == [1]


def test_plain_messages_of_the_history_of_a_sealed_stream_are_refused():
    viewer = Reviewer()
    viewer.answers(KEY)
    viewer.begins(1, PAST, KEY)
    viewer.hears(moved(viewer.frame(DATA, ecg(0), None), PAST))
    assert viewer.refused() == [(0x202, 8, "plain")]
    assert not viewer.had(1)


def test_a_history_of_another_stream_does_not_open():
    viewer = Reviewer()
    viewer.answers(KEY)
    viewer.begins(1, PAST, KEY)
    frame = moved(viewer.frame(DATA, ecg(0)), PAST)
    viewer.session._reader.book.unbind(STREAM, 1)
    viewer.session._reader.book.bind(11, "ecg/2", 5, 1)
    viewer.hears(moved(frame, 11, 0))
    assert [one[:2] for one in viewer.refused()] == [(0x202, 8)]


def test_what_is_forgotten_is_let_go_unread_and_may_come_again():
    viewer = Reviewer()
    viewer.answers(KEY)
    window = window_of_history()
    frames = [viewer.frame(DATA, ecg(n)) for n in range(4)]
    viewer.begins(1, PAST, KEY, window=window)
    viewer.hears(moved(frames[0], PAST))
    viewer.session.end_history(STREAM, 1)
    viewer.hears(moved(frames[1], PAST))  # in transit
    viewer.session.forget_history(STREAM, 1)
    viewer.hears(moved(frames[2], PAST))
    assert viewer.had(1) == [0, 1]
    viewer.begins(2, AGAIN, KEY, window=window)
    for frame in frames[2:]:
        viewer.hears(moved(frame, AGAIN))
    assert viewer.had(2) == [2, 3]
    assert not viewer.told(FrameRefused)


def test_messages_of_a_history_are_not_marked_as_stale():
    viewer = Reviewer(stale_after=1.0)
    viewer.answers(KEY)
    viewer.begins(1, PAST, KEY)
    viewer.hears(moved(viewer.frame(DATA, ecg(-500)), PAST))
    viewer.hears(viewer.frame(DATA, ecg(-500)))
    old, live = viewer.told(Received)
    assert (old.message.stale, live.message.stale) == (False, True)


def test_alerts_of_a_history_come_once():
    viewer = Reviewer()
    viewer.answers(KEY)
    frame = viewer.frame(ALERT_TYPE, ALERT, flags=Flag.PRIORITY)
    viewer.hears(frame)
    viewer.begins(1, PAST, KEY)
    viewer.hears(moved(frame, PAST, 0))
    viewer.hears(moved(frame, PAST, 0))
    assert [event.stream.history for event in viewer.told(Received)] == [None, 1]
