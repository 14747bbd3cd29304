"""Addresses behind proxies: only named proxies count, and headers are read from their end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import run

from ecgframe.server import Proxies, Request, WebSocketBinaryHandler
from ecgframe.server.adapters.uvicorn import options_for
from ecgframe.server.forwarding import MAX_PROXIES, Origin

PROXIES = Proxies(["127.0.0.1", "10.9.0.0/24", "2001:db8::/32", "unix"])


def seen(value, peer="127.0.0.1:50000", *, header="X-Forwarded-For", proxies=PROXIES):
    request, origin = proxies.resolve(Request(headers={header.lower(): value}, peer=peer))
    assert request.proxy == (peer if request.peer != peer or origin is Origin.FORWARDED else "") or not request.peer
    return request.peer, origin.name


@pytest.mark.parametrize(
    ("value", "peer", "address"),
    [
        ("192.0.2.7", "127.0.0.1:50000", "192.0.2.7"),
        ("203.0.113.66, 192.0.2.7", "127.0.0.1:50000", "192.0.2.7"),
        ("203.0.113.66, 192.0.2.7, 10.9.0.5", "127.0.0.1:50000", "192.0.2.7"),
        ("203.0.113.66,192.0.2.7:4711", "127.0.0.1:50000", "192.0.2.7:4711"),
        ("2001:DB9::7", "127.0.0.1:50000", "2001:db9::7"),
        ("[2001:db9::7]:443", "127.0.0.1:50000", "[2001:db9::7]:443"),
        ("[2001:db9::7]", "127.0.0.1:50000", "2001:db9::7"),
        ("192.0.2.7", "[2001:db8::1]:50000", "192.0.2.7"),
        ("192.0.2.7", "[::ffff:10.9.0.1]:50000", "192.0.2.7"),
        ("192.0.2.7", "[2001:db8::1%eth0]:50000", "192.0.2.7"),
        ("10.9.0.5", "127.0.0.1:50000", "10.9.0.5"),  # a proxy that asks whether the server is healthy
        ("10.9.0.5, 127.0.0.1", "", "10.9.0.5"),  # over a Unix socket
    ],
)
def test_the_last_address_that_is_not_of_a_proxy(value, peer, address):
    assert seen(value, peer) == (address, "FORWARDED")


@pytest.mark.parametrize("peer", ["192.0.2.9:1", "10.9.1.1:1", "[2001:db9::1]:1", "nonsense"])
def test_the_header_of_anybody_else_counts_for_nothing(peer):
    assert seen("203.0.113.66", peer) == (peer, "UNTRUSTED")
    assert seen("203.0.113.66", "", proxies=Proxies(["10.9.0.1"])) == ("", "UNTRUSTED")


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("unknown", "127.0.0.1:50000"),
        ("", "127.0.0.1:50000"),
        ("192.0.2.7, ", "127.0.0.1:50000"),
        ("192.0.2.7:port", "127.0.0.1:50000"),
        ("192.0.2.7\n", "192.0.2.7"),  # a space, for strip
        ("192.0.2.7, unknown, 10.9.0.5", "10.9.0.5"),
        (", ".join(["192.0.2.7"] + (MAX_PROXIES) * ["10.9.0.5"]), "10.9.0.5"),
    ],
)
def test_what_cannot_be_read_is_told_and_nothing_is_guessed(value, address):
    expected = "FORWARDED" if address == "192.0.2.7" else "UNREADABLE"
    assert seen(value) == (address, expected)


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("for=192.0.2.7", ("192.0.2.7", "FORWARDED")),
        ("for=203.0.113.66, For=192.0.2.7;proto=https;by=10.9.0.5", ("192.0.2.7", "FORWARDED")),
        ('for="[2001:db9::7]:4711"', ("[2001:db9::7]:4711", "FORWARDED")),
        ('for=192.0.2.7;host="a,b", for=10.9.0.5', ("192.0.2.7", "FORWARDED")),
        ('for=203.0.113.66, host="a\\", for=1.2.3.4";for=192.0.2.7', ("192.0.2.7", "FORWARDED")),
        ("for=_hidden", ("127.0.0.1:50000", "UNREADABLE")),
        ("for=192.0.2.7;for=192.0.2.8", ("127.0.0.1:50000", "UNREADABLE")),
        ('for="192.0.2.7', ("127.0.0.1:50000", "UNREADABLE")),
        ("192.0.2.7", ("127.0.0.1:50000", "UNREADABLE")),
        ("proto=https", ("127.0.0.1:50000", "UNREADABLE")),
    ],
)
def test_forwarded(value, result):
    assert seen(value, header="Forwarded", proxies=Proxies(["127.0.0.1", "10.9.0.0/24"], header="Forwarded")) == result


def test_only_the_header_that_was_named_is_read():
    both = Request(headers={"forwarded": "for=203.0.113.66", "x-forwarded-for": "192.0.2.7"}, peer="127.0.0.1:1")
    assert PROXIES.resolve(both)[0].peer == "192.0.2.7"
    assert Proxies(["127.0.0.1"], header="Forwarded").resolve(both)[0].peer == "203.0.113.66"
    assert PROXIES.resolve(Request(headers={}, peer="127.0.0.1:1"))[1] is Origin.DIRECT


@given(st.text(max_size=200), st.sampled_from(["X-Forwarded-For", "Forwarded"]))
def test_whatever_is_sent_nothing_is_raised_and_a_client_cannot_choose_its_address(text, header):
    proxies = Proxies(["127.0.0.1"], header=header)
    last = "192.0.2.7" if header == "X-Forwarded-For" else "for=192.0.2.7"
    for value in (text, f"{text}, {last}"):
        peer, origin = proxies.resolve(Request(headers={header.lower(): value}, peer="127.0.0.1:1"))
    assert (peer.peer == "192.0.2.7") is (origin is Origin.FORWARDED)
    if header == "X-Forwarded-For":
        assert origin is Origin.FORWARDED


@pytest.mark.parametrize("trusted", ["127.0.0.1", [], ["127.0.0.1/99"], ["proxy.example.org"], ["10.20.0.1/16"]])
def test_what_is_no_address_is_refused(trusted):
    with pytest.raises(ValueError, match=r"trusted is|does not appear|has host bits"):
        Proxies(trusted)
    with pytest.raises(ValueError, match="header is"):
        Proxies(["127.0.0.1"], header="X-Real-IP")


def test_uvicorn_leaves_the_headers_to_the_handler():
    pytest.importorskip("uvicorn")

    async def options(proxies):
        async with WebSocketBinaryHandler(proxies=proxies) as handler:
            return options_for(handler).get("proxy_headers", "uvicorn's default")

    assert run(options(PROXIES)) is False
    assert run(options(None)) == "uvicorn's default"
