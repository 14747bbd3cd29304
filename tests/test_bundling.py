"""Bundles: a program that PyInstaller and similar tools pack with ecgframe runs, without hooks.

Such tools read the imports of Python files, and cannot look into compiled modules. ``Bundler`` collects modules in the
same way; everything that a program loads has to be among them. Where PyInstaller is installed, it packs a program, too.
"""

import json
import os
import subprocess
import sys
import sysconfig
from modulefinder import ModuleFinder
from pathlib import Path

import pytest
from interpreter import python

import ecgframe

PACKAGES = Path(ecgframe.__file__).parents[1]
CODEC = """
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
"""
SERVER = """
import asyncio
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.adapters.websockets import serve

async def exchange():
    async with WebSocketBinaryHandler() as handler, serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with ecgframe.connect(f"ws://127.0.0.1:{port}/") as client, client.subscribe("ecg/1") as subscription:
            await handler.publish("ecg/1", ecgframe.MessageType.ECG_DATA, data)
            assert (await anext(subscription)).data["signal"].shape == (2, 2000)

asyncio.run(exchange())
"""
REPORT = """
loaded = [name for name in sys.modules if name.startswith("ecgframe")]
print(json.dumps({"loaded": loaded, "accelerated": ecgframe.accelerated, "version": ecgframe.__version__}))
"""


class Bundler(ModuleFinder):
    """Collects the modules of the package that Python files import, anywhere in them."""

    def find_module(self, name, path, parent=None):
        if parent is None and name not in {"ecgframe", "__init__"}:
            raise ImportError(name)
        return super().find_module(name, path, parent)


def collected(program):
    """Return the modules that a bundler finds from this program."""
    bundler = Bundler([str(PACKAGES)])
    bundler.run_script(str(program))
    return set(bundler.modules)


@pytest.mark.slow
@pytest.mark.parametrize("text", [CODEC, CODEC + SERVER], ids=["codec", "server and client"])
def test_all_modules_that_a_program_loads_are_collected(text, tmp_path, monkeypatch):
    if text is not CODEC:
        pytest.importorskip("websockets")
    program = tmp_path / "program.py"
    program.write_text(text)
    found = collected(program)
    for plain in ("0", "1"):
        monkeypatch.setenv("ECGFRAME_PLAIN", plain)
        done = python("-c", text + REPORT)
        assert done.stderr == ""
        loaded = set(json.loads(done.stdout)["loaded"])
        assert {"ecgframe", "ecgframe.codec", "ecgframe.messages", "ecgframe._core"} < loaded
        assert loaded <= found


@pytest.mark.slow
def test_the_client_is_collected_with_the_package(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import ecgframe\n")
    assert "ecgframe.client.client" in collected(program)


# PyInstaller takes twenty seconds of processor time: beside other tests, that may exceed the time limit of a test.
@pytest.mark.alone
@pytest.mark.skipif(
    sys.platform == "linux" and not sysconfig.get_config_var("Py_ENABLE_SHARED"),
    reason="PyInstaller needs Python as a shared library",
)
def test_a_program_that_pyinstaller_packs_runs_without_hooks(tmp_path):
    pytest.importorskip("PyInstaller", reason="needs PyInstaller, which is in the group bundling")
    pytest.importorskip("websockets")
    program = tmp_path / "program.py"
    program.write_text(CODEC + SERVER + REPORT)
    folders = [f"--{name}path={tmp_path / name}" for name in ("dist", "work", "spec")]
    command = [sys.executable, "-m", "PyInstaller", "--onedir", "--noconfirm", "--log-level=WARN", *folders]
    environment = os.environ | {"PYINSTALLER_CONFIG_DIR": str(tmp_path / "cache")}
    packing = [*command, f"--paths={PACKAGES}", str(program)]
    packed = subprocess.run(
        packing, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=1800
    )
    assert packed.returncode == 0, packed.stderr
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [tmp_path / "dist" / "program" / "program"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["accelerated"] is ecgframe.accelerated
