"""Codecs can be copied and pickled, also to other processes; a copy works as the original."""

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from cases import each_case

from ecgframe import Codec, Compression, MessageType

COPIES = [copy.copy, copy.deepcopy]
PICKLES = [lambda codec, protocol=protocol: pickle.loads(pickle.dumps(codec, protocol)) for protocol in range(6)]
OPTIONS = [
    {},
    {"version": 1},
    {"compression": None, "max_payload": 1000},
    {"compression": Compression(threshold=7, level=9)},
    {"ndarray": "binary", "numeric_lists": "ndarray", "validate": True, "copy": True},
    {"version": 2, "versions": (1, 2)},
]


@pytest.mark.parametrize("duplicate", COPIES + PICKLES)
@each_case("options", OPTIONS, ids=str)
def test_a_copy_has_the_same_configuration(duplicate, options):
    codec = Codec(**options)
    other = duplicate(codec)
    assert type(other) is Codec
    assert other is not codec
    assert repr(other) == repr(codec)
    data = {"signal": np.arange(40).reshape(2, 20), "sampling_rate": 400}
    stamp = 7 if options.get("version", 3) == 3 else None
    frame = codec.encode(MessageType.ECG_DATA, data, timestamp=stamp)
    assert other.encode(MessageType.ECG_DATA, data, timestamp=stamp) == frame


def test_a_copy_has_a_clock_of_its_own():
    codec = Codec()
    other = copy.deepcopy(codec)
    stamps = [each.decode(each.encode(MessageType.PING, None)).timestamp for each in (codec, other, codec, other)]
    assert stamps[0] < stamps[2]
    assert stamps[1] < stamps[3]


class Named(Codec):
    def __init__(self, name, **options):
        super().__init__(**options)
        self.name = name


@pytest.mark.parametrize("duplicate", COPIES + PICKLES[2:])  # protocols 0 and 1 keep no attributes
def test_a_subclass_keeps_its_attributes(duplicate):
    other = duplicate(Named("bed 7", ndarray="binary", compression=None))
    assert type(other) is Named
    assert other.name == "bed 7"
    assert repr(other) == repr(Codec(ndarray="binary", compression=None))


@pytest.mark.slow
def test_a_codec_goes_to_another_process():
    codec = Codec(version=2)
    with ProcessPoolExecutor(1) as pool:
        frame = pool.submit(codec.encode, MessageType.PING, {"n": 1}).result()
    assert codec.decode(frame).version == 2
