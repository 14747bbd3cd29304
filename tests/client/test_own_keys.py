"""Subscriptions of sealed streams whose keys from the server do not go with the application's own keyring."""

import pytest
from running import run
from server.test_sealed_streams import KEY, STREAM, client, ecg, sealing_handler, serving, take, until

from ecgframe import AuthenticationFailed, MessageType

pytest.importorskip("cryptography")

from ecgframe.seal import Key, StoredKeys


class Failing(StoredKeys):
    """A keyring of the application that raises what the interface does not have, at first or only by key id."""

    def __init__(self, *fails):
        super().__init__()
        self.fails = fails

    def current(self, stream):
        if "current" in self.fails:
            raise LookupError("no such stream")
        return super().current(stream)

    def find(self, key_id):
        if "find" in self.fails:
            raise LookupError("no such key")
        return super().find(key_id)


def refusal_with(keyring, subscribe):
    async def go():
        handler = sealing_handler()
        async with serving(handler) as url, client(url, keys=keyring) as viewer:
            await handler.publish(STREAM, MessageType.ECG_DATA, ecg(1))
            with pytest.raises(AuthenticationFailed) as refused:
                await subscribe(viewer)
            return refused.value

    return run(go(), 10)


async def subscribe(viewer):
    await anext(viewer.subscribe(STREAM))


async def read_history(viewer):
    async for _ in viewer.history(STREAM, 0):
        raise AssertionError("nothing was published")


BOTH = pytest.mark.parametrize("ask", [subscribe, read_history])


@BOTH
def test_a_key_id_that_the_application_uses_for_another_stream_is_named(ask):
    error = refusal_with(StoredKeys([Key(KEY.id, "ecg/other", bytes(32))]), ask)
    assert error.reason == "key"
    assert f"key id {KEY.id}" in str(error)
    assert "ecg/other" in str(error)
    assert "remove" in str(error)
    assert bytes(32).hex() not in str(error)


@BOTH
def test_a_keyring_that_fails_for_a_key_is_named(ask):
    error = refusal_with(Failing("find"), ask)
    assert f"key id {KEY.id}" in str(error)
    assert "find()" in str(error)
    assert "LookupError" in str(error)
    assert isinstance(error.__cause__, LookupError)


@BOTH
def test_a_keyring_that_fails_for_a_stream_is_named(ask):
    error = refusal_with(Failing("current"), ask)
    assert STREAM in str(error)
    assert "current()" in str(error)
    assert "ValueError" in str(error)


def test_other_streams_go_on_and_the_stream_can_be_subscribed_to_again():
    async def go():
        keyring = StoredKeys([Key(KEY.id, "ecg/other", bytes(32))])
        handler = sealing_handler()
        async with serving(handler) as url, client(url, keys=keyring) as viewer:
            other = viewer.subscribe("ecg/plain")
            with pytest.raises(AuthenticationFailed):
                await anext(viewer.subscribe(STREAM))
            await handler.publish("ecg/plain", MessageType.ECG_DATA, ecg(1))
            await take(other)
            keyring.remove(KEY.id)
            again = viewer.subscribe(STREAM)
            await until(lambda: again.status == "subscribed")
            await handler.publish(STREAM, MessageType.ECG_DATA, ecg(2))
            await take(again)

    run(go(), 10)


@pytest.mark.parametrize("fails", ["current", "find"])
def test_a_keyring_that_begins_to_fail_ends_nothing_else(fails):
    async def go():
        keyring, handler = Failing(), sealing_handler()
        async with serving(handler) as url, client(url, keys=keyring) as viewer:
            sealed, plain = viewer.subscribe(STREAM), viewer.subscribe("ecg/plain")
            await until(lambda: sealed.status == plain.status == "subscribed")
            keyring.fails = (fails,)
            await handler.publish(STREAM, MessageType.ECG_DATA, ecg(1))
            keyring.fails = ()
            await handler.publish("ecg/plain", MessageType.ECG_DATA, ecg(1))
            await take(plain)
            await handler.publish(STREAM, MessageType.ECG_DATA, ecg(2))
            await take(sealed)

    run(go(), 10)
