"""What the compression algorithms cost for the messages of a source, and which one a sender takes."""

import pytest

from ecgframe import Codec, Compression, MessageType, pack
from ecgframe.compression import zstd
from ecgframe.protocol import Algorithm
from ecgframe.tools.algorithm_costs import AlgorithmCost, algorithm_costs, first_to_arrive
from ecgframe.tools.frame_analysis import Examiner
from ecgframe.tools.observation import Delivery
from ecgframe.tools.sizes import SizeAnalysis

THERE = [each for each in Algorithm if each is not Algorithm.ZSTD or zstd.is_available()]
TEXT = {"text": "lead II, " * 300}


def test_each_algorithm_that_is_there_is_measured():
    costs = algorithm_costs([pack(TEXT), pack("short")])
    assert [cost.algorithm for cost in costs] == THERE
    for cost in costs:
        assert 0 < cost.nbytes < 300
        assert 0 < cost.seconds < 1
    assert {cost.name for cost in costs} <= {"zlib", "zstd", "LZ4"}


def test_small_payloads_are_not_compressed():
    assert algorithm_costs([pack("short")]) == []


@pytest.mark.parametrize(("seconds", "wanted"), [(50e-6, Algorithm.LZ4), (10e-6, Algorithm.ZLIB)])
def test_the_first_to_arrive_is_taken(seconds, wanted):
    """At 100 Mbit/s, 500 bytes take 40 microseconds."""
    costs = [AlgorithmCost(Algorithm.ZLIB, 1000, seconds), AlgorithmCost(Algorithm.LZ4, 1500, 0.0)]
    assert first_to_arrive(costs).algorithm is wanted


def test_frames_in_any_algorithm_are_measured():
    analysis, examiner = SizeAnalysis(), Examiner()
    for algorithm in THERE:
        codec = Codec(version=4, compression=Compression(algorithms=(algorithm,)))
        for frame in examiner.examine(Delivery(codec.encode(MessageType.FEATURE_DATA, {"features": {}, **TEXT}))):
            analysis.add(frame)
    [found] = analysis.compare()
    assert found.found.compressed == len(THERE)
    assert [cost.algorithm for cost in found.algorithms] == THERE
