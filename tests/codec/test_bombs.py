"""Decompression bombs are refused before they take memory, as measured for the process and for Python's allocator."""

import json
import sys

import pytest
from interpreter import TESTS, python

pytest.importorskip("resource", reason="there is no ceiling to be set on this system")
pytestmark = pytest.mark.slow
MIB = 1024 * 1024

SMALL = {
    "64 MiB behind 64 KiB": (0x102, 10),
    "64 MiB behind 64 KiB, no end": (0x102, 10),
    "64 MiB of blocks stored": (0x102, 10),
    "a header of 2^32-1": (0x102, 4),
    "a header of 16 MiB": (0x200, 5),
    "lists 100,000 deep": (0x200, 11),
    "maps 100,000 deep": (0x200, 11),
    "lists 16 million deep": (0x200, 11),
    "wrappers 100,000 deep": (0x200, 11),
    "lists of 2^32-1, 64 deep": (0x200, 11),
    "maps of 2^32-1, 64 deep": (0x200, 11),
    "lists of 65,535, 3,000 of them": (0x200, 11),
    "text of 2^32-1": (0x200, 11),
    "bytes of 2^32-1": (0x200, 11),
    "extension of 2^32-1": (0x200, 11),
    "a shape of 2^62": (0x200, 11),
    "a shape of 2^32-1 in bytes": (0x200, 11),
    "a shape of 2^32-1 bools": (0x200, 11),
    "a shape that wraps around": (0x200, 11),
    "a shape of a million": (0x200, 11),
    "a dtype of a million": (0x200, 11),
    "a dtype that asks for much": (0x200, 11),
    "15 million rows of nothing": [15 * MIB, 0],
    "15 million rows of nothing that lie": (0x200, 11),
    "15 million rows of nothing that are deflated": (0x200, 11),
    "a datetime of 8 MiB": (0x200, 11),
}
IN_PROPORTION = {
    name
    for name in SMALL
    if any(words in name for words in ("64 MiB", "16 million", "deflated", "that lie", "datetime"))
}
"""These take memory in proportion to what was received or to the limit of inflating; the others take next to none."""

CONTAINERS = [
    "a million empty maps",
    "sixteen million empty maps behind 16 KiB",
    "sixteen million empty lists behind 16 KiB",
    "eight million rows of what is no wrapper",
]


def run(kind):
    done = python(TESTS / "bombs.py", kind, seconds=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def small():
    return run("small")


@pytest.fixture(scope="module")
def containers():
    return run("containers")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux enforces the ceiling")
@pytest.mark.parametrize("kind", ["small", "containers"])
def test_the_ceiling_bites(kind, request):
    assert all(request.getfixturevalue(kind)["control"].values())


@pytest.mark.parametrize(("name", "outcome"), SMALL.items())
def test_a_bomb_is_defused(small, name, outcome):
    found = small["bombs"][name]
    assert "error" not in found
    if isinstance(outcome, list):
        assert found["shape"] == outcome
    else:
        assert (found["code"], found["check"]) == outcome
    assert found["peak"] < (34 * MIB if name in IN_PROPORTION else MIB)


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_bomb_of_containers_is_defused(containers, name):
    found = containers["bombs"][name]
    assert (found["code"], found["check"]) == (0x102, 11)
    assert found["peak"] < 240 * MIB


def test_every_bomb_was_looked_at(small, containers):
    assert set(small["bombs"]) == set(SMALL)
    assert set(containers["bombs"]) == set(CONTAINERS)
