"""Positions of messages, from sequence numbers, and from times where numbers are not enough."""

from __future__ import annotations

import pytest
from recordings import optional

optional("websockets")

from ecgframe.recording.timeline import Break, Moment, Timeline  # noqa: E402 - after the skip

RATE = 250
EACH = 50  # samples per message: 0.2 s
BEGIN = 1_700_000_000.0


def moment(sequence=None, at=None, sent=None):
    return Moment(EACH, RATE, sequence, at, sent)


def missing(first, second, *, is_told=False):
    timeline = Timeline()
    assert timeline.missing_before(first, is_told=False) == 0
    timeline.add(first, 0)
    return timeline.missing_before(second, is_told=is_told)


def test_a_loss_that_neither_numbers_nor_times_measure_is_not_passed_over():
    assert missing(moment(), moment(), is_told=True) is Break.UNCOUNTED
    assert missing(moment(sent=BEGIN), moment(sent=BEGIN + 1), is_told=True) == RATE - EACH


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # consecutive numbers: nothing is missing, although times jitter or the recording is played faster
        (moment(5, BEGIN), moment(6, BEGIN + 0.2), 0),
        (moment(5, BEGIN), moment(6, BEGIN + 0.9), 0),
        (moment(5, BEGIN), moment(6, BEGIN + 0.002), 0),
        (moment(5), moment(6), 0),
        # a monitor was switched off for a minute and continues its numbers
        (moment(5, BEGIN), moment(6, BEGIN + 60.2), 60 * RATE),
        # missing numbers: the number of samples follows from the times, or else from the length of messages
        (moment(5, BEGIN), moment(8, BEGIN + 0.6), 2 * EACH),
        (moment(5, BEGIN), moment(8, BEGIN + 0.64), 2 * EACH + 10),
        (moment(5, BEGIN), moment(8, BEGIN + 50), 2 * EACH),
        (moment(5), moment(8), 2 * EACH),
        # the numbers start again after a restart: the times decide
        (moment(500, BEGIN), moment(0, BEGIN + 3.2), 3 * RATE),
        (moment(500, BEGIN), moment(0, BEGIN + 0.19), 0),
        (moment(500, sent=BEGIN), moment(0, sent=BEGIN + 3.2), 3 * RATE),
        # without times, or if the clock was set back, the gap is unknown
        (moment(500), moment(0), Break.RESTARTED),
        (moment(500, BEGIN), moment(0, BEGIN - 100, BEGIN), Break.RESTARTED),
        # before V3, the last messages are repeated after a reconnection
        (moment(500, BEGIN), moment(498, BEGIN - 0.4), Break.REPEATED),
        # without numbers
        (moment(at=BEGIN), moment(at=BEGIN + 0.25), 0),
        (moment(at=BEGIN), moment(at=BEGIN + 2.2), 2 * RATE),
        (moment(at=BEGIN), moment(at=BEGIN - 100), Break.RESTARTED),
        (moment(), moment(), 0),
    ],
)
def test_missing_samples_between_two_messages(first, second, expected):
    assert missing(first, second) == expected


def test_a_reported_gap_has_the_length_given_by_the_times():
    assert missing(moment(at=BEGIN), moment(at=BEGIN + 0.3), is_told=True) == 25
    assert missing(moment(5, BEGIN), moment(6, BEGIN + 0.2), is_told=True) == 0, "no gap"


def test_times_are_converted_to_positions():
    timeline = Timeline()
    assert timeline.position(BEGIN) is None
    for number in range(10):  # a second is missing after the fifth message
        late = number > 4
        timeline.add(moment(number, BEGIN + 0.2 * number + late), number * EACH + late * RATE)
    assert timeline.position(BEGIN) == 0
    assert timeline.position(BEGIN + 0.5) == pytest.approx(125)
    assert timeline.position(BEGIN + 1.5) == pytest.approx(375), "within the gap"
    assert timeline.position(BEGIN + 4) == pytest.approx(1000), "in the future"
    assert timeline.position(BEGIN - 1) == pytest.approx(-RATE)
