"""``Settings(default=...)``: objects that the protocol has no type for, in what servers and clients send."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from client.servers import impatient, serving, until, url_of
from recordings import optional
from running import run

from ecgframe import MessageType
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.session import Settings
from ecgframe.signing import SigningKey

ECG = MessageType.ECG_DATA
STREAM = "ecg/bed-7"


@dataclasses.dataclass
class Calibration:
    offset: Decimal
    device: object


def convert(value):
    if isinstance(value, Decimal | Fraction):
        return float(value)
    if isinstance(value, set):
        return sorted(value)
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"no {type(value).__name__} in a message")


def message(samples=4, **more):
    return {
        "signal": np.arange(samples, dtype="int16")[None],
        "sampling_rate": 250,
        "timestamp": 1_700_000_000.5,
        "calibration": Calibration(Decimal("0.25"), {"parts": {3, 1}}),
        **more,
    }


CONVERTED = {"offset": 0.25, "device": {"parts": [1, 3]}}
LARGE = 200_000


def same(received, samples):
    assert received["calibration"] == CONVERTED
    assert np.array_equal(np.asarray(received["signal"]), np.arange(samples, dtype="int16")[None])


@pytest.mark.parametrize("version", [1, 2, 3, 4])
@pytest.mark.parametrize("samples", [4, pytest.param(LARGE, id="encoded in a thread")])
def test_viewers_of_each_version_get_what_is_published_converted(version, samples):
    async def conversation():
        handler = WebSocketBinaryHandler(settings=Settings(default=convert))
        viewing = Settings(versions=tuple(range(1, version + 1)))
        async with (
            serving(handler) as port,
            impatient(url_of(port), settings=viewing) as viewer,
            viewer.subscribe(STREAM) as stream,
        ):
            for number in range(3):
                await handler.publish(STREAM, ECG, message(samples, sequence=number))
            for number in range(3):
                received = (await anext(stream)).data
                same(received, samples)
                assert received["sequence"] == number
            [connection] = handler.connections()
            await handler.send_message(connection.id, ECG, message(samples, stream=STREAM))
            same((await anext(stream)).data, samples)

    run(conversation())


def test_signed_streams_take_them_too():
    optional("cryptography")

    async def conversation():
        signer = SigningKey(bytes(32))
        settings = Settings(require_signature=frozenset({MessageType.ANOMALY_ALERT}))
        handler = WebSocketBinaryHandler(settings=Settings(default=convert), signer=signer)
        async with (
            serving(handler) as port,
            impatient(url_of(port), signers=[signer.public], settings=settings) as viewer,
            viewer.subscribe(STREAM) as stream,
        ):
            await handler.publish(STREAM, MessageType.ANOMALY_ALERT, {"timestamp": 1.5, "score": Fraction(3, 4)})
            assert (await anext(stream)).data["score"] == 0.75

    run(conversation())


@pytest.mark.parametrize("samples", [4, pytest.param(LARGE, id="encoded in a thread")])
def test_a_client_sends_and_publishes_them(samples):
    taken = []

    async def take(connection, received):
        taken.append(received.data)

    async def allow(*_):
        return True

    async def conversation():
        handler = WebSocketBinaryHandler(on_message=take, authorize=allow)
        async with serving(handler) as port, impatient(url_of(port), settings=Settings(default=convert)) as client:
            await client.send_message(ECG, message(samples, stream=STREAM), acknowledged=True)
            async with client.publisher("ecg/bed-8") as publisher:
                for _ in range(3):
                    await publisher.send(ECG, message(samples))
            await until(lambda: len(taken) == 4)

    run(conversation())
    for received in taken:
        same(received, samples)


@pytest.mark.parametrize("samples", [4, pytest.param(LARGE, id="encoded in a thread")])
def test_what_is_not_converted_is_an_error_that_names_the_place_and_nothing_is_sent(samples):
    async def conversation():
        handler = WebSocketBinaryHandler(settings=Settings(default=convert))
        async with (
            serving(handler) as port,
            impatient(url_of(port), settings=Settings(default=convert)) as client,
            client.subscribe(STREAM) as stream,
        ):
            bad = message(samples, calibration=Calibration(Decimal(1), [1, object()]))
            for send in (lambda: handler.publish(STREAM, ECG, bad), lambda: client.send_message(ECG, bad)):
                with pytest.raises(
                    TypeError, match=r'^data\["calibration"\]\["device"\]\[1\]: no object in a message$'
                ):
                    await send()
            await handler.publish(STREAM, ECG, message(samples))
            same((await anext(stream)).data, samples)

    run(conversation())


def test_without_it_they_are_refused_as_before():
    async def conversation():
        handler = WebSocketBinaryHandler()
        async with serving(handler):
            with pytest.raises(TypeError, match=r'^data\["calibration"\]: cannot pack .*Calibration'):
                await handler.publish(STREAM, ECG, message())

    run(conversation())


class Unhashable:
    __hash__ = None

    def __call__(self, value):
        return value


@pytest.mark.parametrize("wrong", [1, "float", Unhashable()])
def test_a_function_with_a_hash_is_asked_for(wrong):
    with pytest.raises(TypeError, match="default is a function of the object to convert, with a hash, not"):
        Settings(default=wrong)
