"""Messages whose data a type checker knows: ``Message[EcgData]``, and narrowing by ``holds``."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any, get_args

import pytest
from recordings import optional

from ecgframe import Message, MessageType, decode, encode
from ecgframe.messages import (
    AnomalyAlert,
    EcgData,
    Negotiation,
    NegotiationAck,
    StreamOpening,
    StreamTemplate,
    holds,
)

BEAT = {"signal": [1, 2], "sampling_rate": 250}
PROGRAM = """
from typing import assert_type

from ecgframe import Message, decode
from ecgframe.messages import AnomalyAlert, EcgData, holds

message = decode(b"")
assert_type(message, Message)
if holds(message, EcgData):
    assert_type(message, Message[EcgData])
    assert_type(message.data, EcgData)
    assert_type(message.data["sampling_rate"], float)
elif holds(message, AnomalyAlert):
    assert_type(message.data, AnomalyAlert)


def rate(of: Message[EcgData]) -> float:
    of.data["no such field"]
    return of.data["sampling_rate"]
"""


def test_a_message_holds_the_payload_of_its_type():
    message = decode(encode(MessageType.ECG_DATA, BEAT))
    assert holds(message, EcgData)
    assert not holds(message, AnomalyAlert)


def test_of_two_payloads_the_required_fields_decide():
    offer = decode(encode(MessageType.PROTOCOL_NEGOTIATION, {"versions": [1, 2, 3], "capabilities": []}))
    answer = decode(encode(MessageType.PROTOCOL_NEGOTIATION, {"version": 3, "capabilities": []}))
    assert [holds(offer, Negotiation), holds(offer, NegotiationAck)] == [True, False]
    assert [holds(answer, Negotiation), holds(answer, NegotiationAck)] == [False, True]
    assert not holds(answer, StreamTemplate)
    assert not holds(answer, StreamOpening)
    assert not holds(decode(encode(MessageType.PROTOCOL_NEGOTIATION, None)), Negotiation)


@pytest.mark.parametrize("payload", [Any, dict, int, "EcgData"])
def test_what_is_no_payload_is_refused(payload):
    with pytest.raises(TypeError, match="such as EcgData"):
        holds(decode(encode(MessageType.PING, None)), payload)


def test_the_class_takes_a_type_and_stays_the_same():
    alias = Message[EcgData]
    assert get_args(alias) == (EcgData,)
    message = alias(MessageType.ECG_DATA, BEAT, 1, 0, None)
    assert type(message) is Message
    assert pickle.loads(pickle.dumps(message)).data == BEAT


@pytest.mark.slow
def test_a_type_checker_narrows(tmp_path):
    optional("mypy")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(program)], capture_output=True, text=True, check=False
    )
    assert 'has no key "no such field"' in done.stdout, done.stdout + done.stderr
    assert "Found 1 error in 1 file" in done.stdout, done.stdout
