"""The vectors of fragments, by the reassembly of a session."""

import json

import pytest
from cases import each_case
from rendering import VECTORS

from ecgframe import ProtocolError, crc32
from ecgframe._core import flatten
from ecgframe.protocol import DEFAULT_MAX_PAYLOAD, LEAST_FRAGMENT
from ecgframe.session.reassembly import Reassembly, is_fragment

CASES = json.loads((VECTORS / "v4-fragments.json").read_text(encoding="utf-8"))


def result_of(reassembly, header, payload):
    """Return what follows from a fragment, in the form of the vectors."""
    try:
        added = reassembly.add(header, payload, 0.0)
    except ProtocolError as error:
        return {"code": f"0x{error.code:03x}", "check": error.check} | ({} if error.reason == "fragment" else {"?": 1})
    if added.lost is not None:
        return {"code": "0x200", "check": 13} | ({} if added.frame is None else {"?": 1})
    return None if added.frame is None else {"whole": added.frame.hex()}


@each_case("vector", CASES, ids=lambda vector: vector["name"])
def test_a_vector_means_what_it_says(vector):
    limit = vector.get("max_payload", DEFAULT_MAX_PAYLOAD)
    reassembly = Reassembly(limit, vector.get("least", LEAST_FRAGMENT))
    for octets, expected in zip(vector["frames"], vector["results"], strict=True):
        frame = bytes.fromhex(octets)
        flat = flatten(frame)
        header = flat.frame_at(0, DEFAULT_MAX_PAYLOAD)
        assert is_fragment(frame)
        assert result_of(reassembly, header, flat.view(header.size, len(frame))) == expected
    assert reassembly.nbytes <= limit


def test_the_maker_still_makes_every_vector():
    maker = pytest.importorskip("make_fragment_vectors")
    assert list(maker.vectors()) == CASES
    assert len({vector["name"] for vector in CASES}) == len(CASES) == 41


def test_a_whole_frame_is_not_a_fragment():
    for vector in CASES:
        for result in vector["results"]:
            if result is not None and "whole" in result:
                whole = bytes.fromhex(result["whole"])
                assert not is_fragment(whole)
                assert crc32(whole[32:]) == int.from_bytes(whole[7:11], "big")
