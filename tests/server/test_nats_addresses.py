"""Addresses of NATS, and access to servers with passwords and TLS."""

import asyncio
import ssl

import pytest
from certificates import certificate
from recordings import optional
from running import run
from server.nats_server import nats_server

nats = optional("nats")

from ecgframe.server.nats import NatsBackplane, backplane_of  # noqa: E402


def test_one_server_and_a_cluster():
    assert backplane_of("nats://h")._servers == ["nats://h"]
    backplane = backplane_of("nats://a,b:7,[::1]:8?replicas=3&name=ward&max_bytes=1000", seconds=7, patience=2)
    assert isinstance(backplane, NatsBackplane)
    assert backplane._servers == ["nats://a", "nats://b:7", "nats://[::1]:8"]
    config = backplane._config
    assert (config.num_replicas, config.name, config.max_bytes, config.max_age) == (3, "ward", 1000, 7)


def test_user_password_and_token_are_decoded_and_are_in_no_address():
    backplane = backplane_of("nats://ward:a%2Fb%40c@a:1,b")
    assert backplane._servers == ["nats://a:1", "nats://b"]
    assert backplane._options == {"user": "ward", "password": "a/b@c"}
    assert backplane_of("nats://to%2Fken@a")._options == {"token": "to/ken"}
    assert backplane_of("nats://a")._options == {}


def test_tls_verifies_the_certificate():
    _, _, authority = certificate()
    for url in ("tls://a,b", f"tls://a?ca={authority}"):
        context = backplane_of(url)._options["tls"]
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost", "begins with nats://"),
        ("redis://localhost", "begins with nats://"),
        ("nats://", "separated by single commas"),
        ("nats://a,,b", "separated by single commas"),
        ("nats://a:b", "a port is a number"),
        ("nats://a:99999", "a port is a number"),
        ("nats://user:pass/word@a", "percent-encoded"),
        ("nats://a?lanes=3", "lanes is none of the options"),
        ("nats://a?replicas=many", "replicas is a number"),
        ("nats://a?replicas=0", "replicas is a finite number above 0"),
        ("nats://a?name=a.b", "letters, digits"),
        ("nats://a?ca=/nowhere.pem", "ca is for TLS"),
        ("tls://a?ca=/nowhere.pem", r"/nowhere\.pem: No such file"),
    ],
)
def test_addresses_that_are_none(url, words):
    with pytest.raises(ValueError, match=words) as caught:
        backplane_of(url)
    assert "pass/" not in str(caught.value)


async def is_up(url, patience=5.0):
    """Open a backplane, and return whether it has reached JetStream at its first attempt."""
    backplane = backplane_of(url, patience=patience)
    await backplane.open(lambda *arguments: None)
    up = backplane.stats()["up"]
    await backplane.close()
    return up


def test_a_server_with_a_password(tmp_path, caplog):
    with nats_server(tmp_path, "--user", "ward", "--pass", "a/b@c") as server:
        assert run(is_up(f"nats://ward:a%2Fb%40c@127.0.0.1:{server.port}"))
        assert not run(is_up(f"nats://ward:other@127.0.0.1:{server.port}"))
    assert "NATS is unreachable" in caplog.text
    assert "Authorization Violation" in caplog.text
    assert "other@" not in caplog.text


def test_a_server_with_tls(tmp_path, caplog):
    chain, key, authority = certificate()
    with nats_server(tmp_path, "--tls", "--tlscert", chain, "--tlskey", key) as server:
        assert run(is_up(f"tls://127.0.0.1:{server.port}?ca={authority}"))
        assert not run(is_up(f"tls://127.0.0.1:{server.port}"))
    assert "certificate verify failed" in caplog.text


def test_nothing_is_sent_to_a_server_without_tls_if_the_address_requires_it(tmp_path, caplog):
    """nats-py itself sends the password then; whoever is in between only has to leave TLS out of the offer."""
    received = []

    async def scenario(port):
        async def between(reader, writer):
            theirs, ours = await asyncio.open_connection("127.0.0.1", port)
            writer.write(await theirs.readline())  # the offer of a server without TLS
            received.append(await reader.read())
            for one in (writer, ours):
                one.close()

        async with await asyncio.start_server(between, "127.0.0.1", 0) as proxy:
            own = proxy.sockets[0].getsockname()[1]
            for url in (f"tls://ward:secret@127.0.0.1:{own}", f"tls://127.0.0.1:{own}"):
                assert not await is_up(url)

    with nats_server(tmp_path) as server:
        run(scenario(server.port))
    assert received == [b"", b""]
    assert "does not ask for TLS" in caplog.text


def test_without_jetstream_it_says_so(tmp_path, caplog):
    with nats_server(tmp_path, jetstream=False) as server:
        assert not run(is_up(server.url))
    assert "until it is back: JetStream does not answer; is it enabled (nats-server -js)?" in caplog.text
