"""Programs with typed messages, which are not run: the comments are what mypy and pyright have to reveal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ecgframe
from ecgframe import Message, MessageType
from ecgframe.messages import EcgData, has_type

if TYPE_CHECKING:
    from typing import reveal_type

    from ecgframe.client import Client, Subscription, SyncSubscription


def rate(message: Message[EcgData]) -> float:
    return message.data["sampling_rate"]


def of_a_frame(frame: bytes) -> None:
    message = ecgframe.decode(frame)
    reveal_type(message)  # Message[Any]
    rate(message)
    if has_type(message, MessageType.ECG_DATA):
        reveal_type(message)  # Message[EcgData]
        reveal_type(message.data["sampling_rate"])  # float
        reveal_type(ecgframe.physical(message).ndim)  # int
        message.data["rate"]  # type: ignore[typeddict-item] # pyright: ignore
    elif has_type(message, MessageType.ERROR):
        reveal_type(message.data)  # ErrorInfo
    elif has_type(message, MessageType.PREDICTION_RESULT):
        reveal_type(message)  # Message[LabelPrediction | ProbabilityPrediction]
    else:
        reveal_type(message)  # Message[Any]


def of_frames(frames: bytes) -> list[Message[EcgData]]:
    return [message for message in ecgframe.decode_all(frames) if has_type(message, MessageType.ECG_DATA)]


async def of_a_stream(stream: Subscription) -> None:
    async for message in stream:
        reveal_type(message)  # Message[Any]
        if has_type(message, MessageType.ANOMALY_ALERT):
            reveal_type(message.data["kind"])  # str


async def of_a_client(client: Client) -> None:
    async with client.subscribe("ecg/bed-7") as stream:
        async for message in stream:
            if not has_type(message, MessageType.FEATURE_DATA):
                reveal_type(message)  # Message[Any]
                continue
            reveal_type(message.data)  # FeatureData


def of_a_script(stream: SyncSubscription) -> None:
    for message in stream.iterate(seconds=1):
        if has_type(message, MessageType.ECG_DATA):
            reveal_type(message)  # Message[EcgData]


async def on_message(connection: object, message: Message) -> None:
    if has_type(message, MessageType.SUBSCRIBE):
        reveal_type(message.data["stream"])  # str


def of_any_type(message: Message, type: MessageType) -> None:
    if has_type(message, type):
        reveal_type(message)  # Message[Any]
    wrong: Message[EcgData] = Message(MessageType.PING, 1, 4, 0, 1)  # type: ignore[arg-type] # pyright: ignore
    reveal_type(wrong.sent_at is None)  # bool
