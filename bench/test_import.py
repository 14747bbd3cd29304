"""What importing ecgframe costs, against NumPy and msgpack, which a program that replaces msgpack imports anyway.

Each in a process of its own, in processor time, and compared within that process, so that the rest of the machine
matters little. The bytecode is to be there, as pip leaves it.
"""

import subprocess
import sys

import pytest

LIMIT = 1.3

SHARE = """
import time
begin = time.process_time()
import numpy, msgpack
middle = time.process_time()
import {module}
print((time.process_time() - begin) / (middle - begin))
"""


def share(module):
    """Return the processor time as a multiple of that of NumPy and msgpack alone."""
    command = [sys.executable, "-P", "-c", SHARE.format(module=module)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("module", ["ecgframe", "ecgframe.server", "ecgframe.client"])
def test_import(benchmark, module):
    benchmark.group = "import, a whole process"
    shares = []
    benchmark.pedantic(lambda: shares.append(share(module)), rounds=1 if benchmark.disabled else 10)
    benchmark.extra_info["of NumPy and msgpack"] = min(shares)
    print(f"{module}: {min(shares):.2f} times NumPy and msgpack")
    if module == "ecgframe" and not benchmark.disabled:
        assert min(shares) <= LIMIT
