"""PyInstaller and its like read the imports of Python files, and cannot look into a compiled one.

What they find is found here as they do it, without them; what a program loads must be among it.
"""

import json
from modulefinder import ModuleFinder
from pathlib import Path

import pytest
from interpreter import python

import ecgframe

LOADED = """
import json, sys
import numpy as np
import ecgframe
data = {"signal": np.arange(4000.0).reshape(2, 2000), "sampling_rate": 250, "n": {1: [None]}}
for form in ("list", "binary"):
    codec = ecgframe.Codec(ndarray=form, numeric_lists="ndarray", validate=True)
    assert codec.decode(codec.encode(ecgframe.MessageType.ECG_DATA, data)).data["signal"].shape == (2, 2000)
try:
    ecgframe.pack({"a": {"__uuid__": 1}})
except TypeError:
    pass
print(json.dumps([name for name in sys.modules if name.startswith("ecgframe")]))
"""


class Bundler(ModuleFinder):
    """Finds what the package's Python files import of the package, wherever in them."""

    def find_module(self, name, path, parent=None):
        if parent is None and name not in {"ecgframe", "__init__"}:
            raise ImportError(name)
        return super().find_module(name, path, parent)


@pytest.mark.slow
@pytest.mark.parametrize("plain", [False, True])
def test_a_bundle_has_all_that_a_program_loads(plain, tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text("import ecgframe\n")
    bundler = Bundler([str(Path(ecgframe.__file__).parents[1])])
    bundler.run_script(str(program))
    if plain:
        monkeypatch.setenv("ECGFRAME_PLAIN", "1")
    done = python("-c", LOADED)
    assert done.stderr == ""
    loaded = set(json.loads(done.stdout))
    assert {"ecgframe", "ecgframe.codec", "ecgframe.messages", "ecgframe._core"} < loaded
    assert loaded <= set(bundler.modules)


def test_the_client_is_in_a_bundle_too(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import ecgframe\n")
    bundler = Bundler([str(Path(ecgframe.__file__).parents[1])])
    bundler.run_script(str(program))
    assert "ecgframe.client.client" in bundler.modules
