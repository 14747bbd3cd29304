"""Masked arrays are found whenever ``numpy.ma`` is imported, and importing ecgframe does not import it."""

import pytest
from interpreter import python

REFUSED = """
import sys
import numpy as np
{before}
import ecgframe
assert {is_loaded} == ("numpy.ma" in sys.modules)

class Own(np.ndarray):
    pass

codec = ecgframe.Codec(ndarray="binary")
assert ecgframe.unpack(codec.pack(np.zeros(2).view(Own))).tolist() == [0, 0]
assert ecgframe.physical({{"signal": np.zeros((1, 2)).view(Own)}}).tolist() == [[0, 0]]
assert {is_loaded} == ("numpy.ma" in sys.modules)

masked = np.ma.masked_array([1, 2], [True, False])
for pack in (ecgframe.pack, codec.pack):
    try:
        pack({{"signal": masked}})
    except TypeError as error:
        assert "lose its mask" in str(error), error
    else:
        raise AssertionError("packed without its mask")
assert np.isnan(ecgframe.physical({{"signal": masked}})).tolist() == [[True, False]]
print("refused")
"""


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", "import numpy.ma"])
@pytest.mark.parametrize("plain", ["", "1"])
def test_a_masked_array_is_found_before_and_after_an_import_of_numpy_ma(monkeypatch, plain, before):
    monkeypatch.setenv("ECGFRAME_PLAIN", plain)
    done = python("-c", REFUSED.format(before=before, is_loaded=bool(before)))
    assert (done.stdout, done.stderr) == ("refused\n", "")
