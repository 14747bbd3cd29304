"""A command imports only what it uses: libraries and modules of this package."""

from __future__ import annotations

import json

import numpy as np
import pytest
from interpreter import python

from ecgframe import MessageType, encode

AFTER = """
import json, sys
from ecgframe.__main__ import main
sys.argv = ["ecgframe", *json.loads(sys.argv[1])]
try:
    main()
except SystemExit as stopped:
    code = stopped.code
with open("modules.json", "w") as file:
    json.dump([code, sorted(sys.modules)], file)
"""

LIBRARIES = {
    "matplotlib",
    "mcap",
    "nats",
    "opentelemetry",
    "orjson",
    "pandas",
    "prometheus_client",
    "pylsl",
    "redis",
    "textual",
    "uvloop",
}
LIBRARIES |= {"cryptography", "edfio", "mne", "msgpack", "pydicom", "websockets", "wfdb"}
NETWORK = {"asyncio", "http.client", "ssl", "urllib.request"}
READERS = {"csv_files", "dicom_files", "edf_files", "numpy_files", "wfdb_files"}
CONVERTERS = {"mne_raw", "pandas_frames", "shipped"}
WRITERS = {"edf_writer", "scaling", "wfdb_writer", "write"}
RECORDS = {f"ecgframe.records.{name}" for name in READERS | CONVERTERS | WRITERS}
PARTS = {f"ecgframe.{name}" for name in ("bridges", "client", "features", "recording", "server", "session")}
FILES_ONLY = LIBRARIES | NETWORK | PARTS
NOTHING = FILES_ONLY | {"ecgframe.records", "ecgframe.frame_file", "ecgframe.tools.frame_analysis", "rich.progress"}


def of_records(*modules: str) -> set[str]:
    return {f"ecgframe.records.{name}" for name in modules}


def imported_by(folder, *arguments: str) -> tuple[int, set[str]]:
    """Run a command in a process; return its exit code and the modules that it has imported."""
    done = python("-c", AFTER, json.dumps(arguments), cwd=folder)
    assert "Traceback" not in done.stderr, done.stderr
    code, modules = json.loads((folder / "modules.json").read_text())
    return code or 0, set(modules)


@pytest.mark.parametrize(
    ("arguments", "forbidden"),
    [(("--version",), NOTHING | {"rich", "numpy.ma"}), (("--help",), NOTHING | {"numpy.ma"})],
    ids=["version", "help"],
)
def test_the_version_and_the_help_need_next_to_nothing(tmp_path, arguments, forbidden):
    code, modules = imported_by(tmp_path, *arguments)
    assert code == 0
    assert modules.isdisjoint(forbidden), modules & forbidden
    # a declaration is imported for the help; its work is not
    assert not [name for name in modules if name.startswith("ecgframe.cli.") and name.endswith((".run", ".views"))]


SERVER = "ws://127.0.0.1:1/ws"
CASES = {
    ("decode", "a.frames"): (0, FILES_ONLY | RECORDS - of_records("write")),
    ("decode", "a.frames", "-o", "b.npz"): (0, FILES_ONLY | RECORDS - of_records("write", "numpy_files")),
    ("encode", "a.csv", "-o", "b.frames"): (0, FILES_ONLY | RECORDS - of_records("csv_files")),
    ("encode", "a.npy", "-o", "c.frames", "--sampling-rate", "250"): (
        0,
        FILES_ONLY | RECORDS - of_records("numpy_files"),
    ),
    ("compare", "--budget", "0"): (0, FILES_ONLY - {"orjson", "ecgframe.session"} | RECORDS - of_records("shipped")),
    ("inspect", "a.frames"): (0, FILES_ONLY - {"orjson", "ecgframe.session"} | RECORDS),
    ("verify", "a.frames", "--signer", "00" * 32): (
        3,
        FILES_ONLY - {"cryptography", "orjson", "ecgframe.session"} | RECORDS,
    ),
    ("sizes", "a.frames"): (0, FILES_ONLY - {"orjson", "msgpack", "ecgframe.session"} | RECORDS),
    ("errors", "e.jsonl"): (0, NOTHING),
    ("wireshark", "-o", "x.lua"): (0, NOTHING),
    ("serve", "a.npy", "--sampling-rate", "250", "--host", "192.0.2.1"): (
        1,
        LIBRARIES - {"prometheus_client", "uvloop", "websockets"}
        | PARTS - {"ecgframe.server", "ecgframe.session"}
        | RECORDS - of_records("numpy_files")
        | {"ecgframe.tools.frame_analysis"},
    ),
    ("watch", SERVER, "a", "--seconds", "0.1"): (
        1,
        LIBRARIES - {"websockets"} | PARTS - {"ecgframe.client", "ecgframe.session", "ecgframe.recording"},
    ),
    ("record", SERVER, "a", "-o", "a.edf"): (
        1,
        LIBRARIES - {"websockets"} | PARTS - {"ecgframe.client", "ecgframe.session", "ecgframe.recording"},
    ),
    ("top", SERVER, "--once"): (1, LIBRARIES - {"prometheus_client"} | PARTS | RECORDS),
}


@pytest.mark.slow
@pytest.mark.parametrize("arguments", CASES, ids=" ".join)
def test_a_command_imports_only_what_it_uses(tmp_path, arguments):
    signal = np.zeros((2, 400), "i2")
    data = {"signal": signal, "sampling_rate": 400, "leads": ["I", "II"], "units": "mV", "stream": "a"}
    (tmp_path / "a.frames").write_bytes(encode(MessageType.ECG_DATA, data))
    (tmp_path / "a.csv").write_text("time,I\n" + "".join(f"{i / 250},{i % 7}\n" for i in range(1000)))
    np.save(tmp_path / "a.npy", signal)
    (tmp_path / "e.jsonl").write_text("")
    expected, forbidden = CASES[arguments]
    code, modules = imported_by(tmp_path, *arguments)
    assert code == expected
    assert modules.isdisjoint(forbidden), modules & forbidden
