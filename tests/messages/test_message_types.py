"""Messages of one type: at run time, and as mypy and pyright see them."""

import importlib.util
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from types import GenericAlias
from typing import Any, get_args, get_type_hints

import pytest
import twin
from interpreter import PACKAGES

import ecgframe
from ecgframe import Message, MessageType, decode, encode
from ecgframe.messages import PAYLOADS, EcgData, has_type

EXAMPLES = Path(__file__).parent / "typed_examples.py"
EXPECTED = re.compile(r"reveal_type\(.*# (?:\w+: )?(.+)$")


def test_a_type_is_compared():
    message = decode(encode(MessageType.ECG_DATA, {"signal": [0.1], "sampling_rate": 250}))
    assert has_type(message, MessageType.ECG_DATA) is True
    assert has_type(message, MessageType.PING) is False


@pytest.mark.parametrize("load", [lambda: ecgframe, twin.load_plain], ids=["this core", "plain core"])
def test_a_message_of_a_type_may_be_written_in_annotations(load):
    cls = load().Message
    alias = cls[EcgData]
    assert isinstance(alias, GenericAlias)
    assert alias.__origin__ is cls
    assert get_args(alias) == (EcgData,)


def test_annotations_with_it_can_be_evaluated():
    def show(message: "Message[EcgData]") -> None: ...

    assert get_type_hints(show)["message"] == Message[EcgData]
    assert pickle.loads(pickle.dumps(Message[EcgData])) == Message[EcgData]


def test_each_type_with_fields_has_an_overload():
    """A new type may not be forgotten: the overloads name the payloads of the table."""
    from typing import get_overloads

    told = {}
    for overload in get_overloads(has_type):
        hints = get_type_hints(overload)
        [member] = get_args(hints["type"]) or [None]
        if member is not None:
            [guarded] = get_args(hints["return"])
            [told[member]] = get_args(guarded)
    assert told == {member: payload for member, payload in PAYLOADS.items() if payload is not Any}


def _revealed(output: str, pattern: str) -> dict[int, str]:
    return {int(line): kind for line, kind in re.findall(pattern, output)}


def _expected() -> dict[int, str]:
    lines = EXAMPLES.read_text(encoding="utf-8").splitlines()
    return {number: found[1] for number, line in enumerate(lines, 1) if (found := EXPECTED.search(line))}


def _output(*command: str) -> str:
    paths = filter(None, (str(PACKAGES), os.environ.get("PYTHONPATH")))
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "MYPY_FORCE_COLOR": "0"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _short(kind: str) -> str:
    """What mypy reveals, with the short names of classes and typed dicts that pyright reveals, too."""
    kind = re.sub(r"TypedDict\(([\w.]+), \{[^{}]*\}\)", r"\1", kind)
    return re.sub(r"(?:\w+\.)+(\w+)", r"\1", kind)


@pytest.mark.slow
def test_what_mypy_reveals():
    pytest.importorskip("mypy")
    # The configuration and the cache of the project: without a cache, mypy reads all of NumPy for minutes.
    project = Path(__file__).parents[2]
    options = (f"--config-file={project / 'pyproject.toml'}", f"--cache-dir={project / '.mypy_cache'}")
    output = _output(sys.executable, "-m", "mypy", *options, str(EXAMPLES))
    revealed = _revealed(output, r"typed_examples\.py:(\d+): note: Revealed type is \"(.+)\"")
    assert {line: _short(kind) for line, kind in revealed.items()} == _expected()


@pytest.mark.slow
def test_what_pyright_reveals():
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed")
    output = _output(sys.executable, "-m", "pyright", "--pythonpath", sys.executable, str(EXAMPLES))
    revealed = _revealed(output, r"typed_examples\.py:(\d+):\d+ - information: Type of \".+\" is \"(.+)\"")
    assert revealed == _expected()
