"""What the tools make of fragments: which bytes each has, and the message with its last."""

import json
from pathlib import Path

import pytest
from command_line import run

from ecgframe import Codec
from ecgframe.tools import seen_fragments
from ecgframe.tools.frame_analysis import Examiner
from ecgframe.tools.observation import Delivery, Origin
from ecgframe.tools.seen_fragments import SeenFragments

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = {one["name"]: one for one in json.loads((VECTORS / "v4-fragments.json").read_text())}


def frames(name):
    return [bytes.fromhex(octets) for octets in CASES[name]["frames"]]


def examined(octets, examiner=None, origin=Origin()):  # noqa: B008 - it does not change
    [found] = (examiner or Examiner()).examine(Delivery(octets, origin))
    return found


def test_the_last_fragment_has_the_message():
    examiner = Examiner()
    found = [examined(octets, examiner) for octets in frames("three pieces, the last one short")]
    assert [one.fragment for one in found] == [(0, 1024, 3000), (1024, 1024, 3000), (2048, 952, 3000)]
    assert [one.message is not None for one in found] == [False, False, True]
    assert [one.error for one in found] == [None] * 3
    whole = CASES["three pieces, the last one short"]["results"][-1]["whole"]
    assert found[-1].message.data == Codec().decode(bytes.fromhex(whole)).data
    assert found[-1].octets == frames("three pieces, the last one short")[-1]


@pytest.mark.parametrize(
    "name", [name for name in CASES if "max_payload" not in CASES[name] and "least" not in CASES[name]]
)
def test_each_case_is_judged_as_by_a_receiver(name):
    examiner = Examiner()
    for octets, result in zip(frames(name), CASES[name]["results"], strict=True):
        found = examined(octets, examiner)
        if result is not None and "check" in result and found.fragment is None:
            assert found.error.check == result["check"]
        elif result is not None and "whole" in result:
            assert found.message is not None or found.unread is not None or found.error.check in (11, 12)


def test_connections_and_directions_are_told_apart():
    examiner = Examiner()
    first, second, last = frames("three pieces, the last one short")
    origins = [Origin(0.0, "a", "s", True), Origin(0.0, "b", "s", True), Origin(0.0, "a", "s", False)]
    for octets in (first, second, last):
        for origin in origins:
            found = examined(octets, examiner, origin)
            assert (found.error, found.message is not None) == (None, octets is last)


def test_unfinished_messages_are_bounded(monkeypatch):
    monkeypatch.setattr(seen_fragments, "MOST_UNFINISHED", 5000)
    seen = SeenFragments(100_000)
    examiner = Examiner()
    examiner._fragments = seen
    [first, *_] = frames("three pieces, the last one short")
    for n in range(100):
        examined(first, examiner, Origin(0.0, f"client {n}", "s", True))
        assert seen._nbytes == sum(one.nbytes for one in seen._unfinished.values()) <= 5000


def test_inspect_shows_them(tmp_path):
    path = tmp_path / "fragments.ndjson"
    path.write_bytes(b"".join(frames("three pieces, the last one short")[:1]))
    shown = run("inspect", path).output
    assert "fragment: bytes 0 to 1,024 of 3,000" in shown
    [frame, *_] = [json.loads(line) for line in run("inspect", path, "--json").stdout.splitlines()]
    assert frame["fragment"] == {"offset": 0, "nbytes": 1024, "total": 3000}
    assert frame["error"] is None
