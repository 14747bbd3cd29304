"""How often keys are derived and handed out, and messages sealed: once, not for each message or viewer."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from running import run
from server.test_sealed_streams import STREAM, client, ecg, sealing_handler, serving, take

from ecgframe import MessageType
from ecgframe.seal import opener, primitives, sealer

pytest.importorskip("cryptography")

MESSAGES, VIEWERS = 5, 3


@pytest.mark.parametrize(("version", "sealed"), [(3, MESSAGES), (4, MESSAGES + 1)], ids=["3", "4: and a template"])
def test_each_message_is_sealed_once_with_keys_derived_once(version, sealed, monkeypatch):
    derived = []
    derive = primitives.derive_cipher

    def counting(key, sender):
        derived.append(sender)
        return derive(key, sender)

    async def main():
        handler = sealing_handler(versions=tuple(range(1, version + 1)))
        async with serving(handler) as url, AsyncExitStack() as stack:
            watching = []
            for _ in range(VIEWERS):
                viewer = await stack.enter_async_context(client(url, handler.settings.versions))
                watching.append(viewer.subscribe(STREAM, sealed=True))
            async with asyncio.timeout(10):
                while any(one.status != "subscribed" for one in watching):
                    await asyncio.sleep(0.001)
            for module in (sealer, opener):
                monkeypatch.setattr(module, "derive_cipher", counting)
            for n in range(MESSAGES):
                await handler.publish(STREAM, MessageType.ECG_DATA, ecg(n))
            for one in watching:
                await take(one, MESSAGES)
            return handler.stats()

    stats = run(main(), 20)
    assert stats["sealing"]["sealed"] == sealed
    senders = set(derived)
    assert len(derived) == len(senders) * (1 + VIEWERS), "a server and each viewer derive the key of a sender once"
    assert len(senders) == version - 2, "messages have one sender, and templates another one"
    assert stats["sealing"]["keys_handed_out"] == VIEWERS
