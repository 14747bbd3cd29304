"""LSL within this machine, in a session of this test run: nothing of it is seen outside, nor anything from outside."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from recordings import optional

from ecgframe.libraries import MissingLibrary

optional("websockets")

from ecgframe.bridges.lsl.libraries import load_pylsl  # noqa: E402 - after the skip

CONFIGURATION = """\
[ports]
IPv6 = disable
MulticastPort = {port}
BasePort = {next_port}
PortRange = 38
[multicast]
ResolveScope = machine
[lab]
KnownPeers = {{127.0.0.1}}
SessionID = {session}
[tuning]
TimeProbeCount = 2
TimeProbeInterval = 0.01
TimeProbeMaxRTT = 0.05
TimeUpdateMinProbes = 1
OutletBufferReserveMs = 100
[log]
level = -3
"""

NEAR = 1.0
"""Error in seconds of a mapped time on a busy machine: half of a round trip. ``examples/test_lsl.py`` measures it."""


FOLDER = tempfile.TemporaryDirectory(prefix="ecgframe-test-")
"""Kept by the module: a process that ``multiprocessing`` forks forgets what is to be done at exit, and removed it."""


def configured() -> Any:
    """Pylsl, which reads its configuration once in a process; programs that are started from it read the same."""
    if "ecgframe-test" not in os.environ.get("LSLAPICFG", ""):
        path = Path(FOLDER.name) / "lsl_api.cfg"
        port = 17_000 + os.getpid() % 390 * 40  # processes beside each other do not share ports
        path.write_text(CONFIGURATION.format(session=uuid4().hex, port=port, next_port=port + 1), encoding="utf-8")
        os.environ["LSLAPICFG"] = str(path)
    try:
        return load_pylsl()
    except MissingLibrary as missing:  # of pylsl, or of liblsl, which its wheels have for most platforms
        pytest.skip(str(missing), allow_module_level=True)


pylsl = configured()


def sender(
    name: str,
    labels: Sequence[str],
    rate: float,
    *,
    units: Sequence[str] | str = "mV",
    form: str = "float32",
    kind: str = "ECG",
    source_id: str | None = None,
) -> Any:
    """Open an LSL stream, as another program would."""
    info = pylsl.StreamInfo(name, kind, len(labels), rate, form, f"test:{name}" if source_id is None else source_id)
    channels = info.desc().append_child("channels")
    units = [units] * len(labels) if isinstance(units, str) else units
    for label, unit in zip(labels, units, strict=True):
        channel = channels.append_child("channel")
        for key, value in (("label", label), ("unit", unit), ("type", kind)):
            if value:
                channel.append_child_value(key, value)
    return pylsl.StreamOutlet(info)


@contextmanager
def receiver(name: str, seconds: float = 60) -> Iterator[Any]:
    """Connect to an LSL stream, as another program would."""
    [info] = pylsl.resolve_byprop("name", name, 1, seconds)
    inlet = pylsl.StreamInlet(info)
    inlet.info(seconds)  # without it, liblsl 1.18 never returns from pulling when the sender is gone
    inlet.open_stream(seconds)
    yield inlet
    inlet.close_stream()


def receive(inlet: Any, samples: int, seconds: float = 60) -> tuple[np.ndarray, np.ndarray]:
    """This number of samples, [channels, samples], and their timestamps."""
    values, stamps = [], []
    until = time.monotonic() + seconds
    while len(stamps) < samples:
        some, times = inlet.pull_chunk(0.2, samples - len(stamps))
        values += some
        stamps += times
        assert time.monotonic() < until, f"{len(stamps)} of {samples} samples came"
    return np.array(values).T, np.array(stamps)
