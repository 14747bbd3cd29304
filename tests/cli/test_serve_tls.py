"""``ecgframe serve`` over TLS: what clients and browsers get, and what is wrong with a certificate."""

from __future__ import annotations

import re
import socket
import urllib.request
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from certificates import certificate, client_context
from cli.live_server import live
from command_line import run
from recordings import optional

from ecgframe.cli.serve.certificate import load_certificate
from ecgframe.records import read_record
from ecgframe.tools import ToolError

optional("websockets")
trustme = optional("trustme")

CHAIN, KEY, ROOT = certificate()


def issued(folder: Path, name: str, **options) -> tuple[Path, Path]:
    """Write a certificate for localhost, and its key; return their paths."""
    one = trustme.CA().issue_cert("localhost", "127.0.0.1", "::1", **options)
    chain, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    chain.write_bytes(b"".join(part.bytes() for part in one.cert_chain_pems))
    key.write_bytes(one.private_key_pem.bytes())
    return chain, key


@pytest.mark.slow
def test_clients_and_pages_reach_a_server_with_tls(tmp_path):
    with closing(socket.socket()) as half, live("--ssl-certfile", CHAIN, "--ssl-keyfile", KEY) as server:
        half.connect(("127.0.0.1", server.port))  # and never completes its handshake
        url, page = f"wss://127.0.0.1:{server.port}/ws", f"https://127.0.0.1:{server.port}/"
        assert f"Live at {url}: ecg/1\n" in server.said
        assert f"open {page} in a browser, or run ecgframe watch {url} ecg/1\n" in server.said
        assert re.search(r"^Certificate: of 127\.0\.0\.1, localhost, valid until ", server.said, re.M)
        assert run("watch", url, "ecg/1", "--seconds", 0.5, "--ca", ROOT).code == 0
        run("record", url, "ecg/1", "-o", tmp_path / "a.edf", "--duration", 3, "--ca", ROOT)
        assert "--ca FILE" in run("watch", url, "ecg/1", code=1).output
        for plain in (("watch", url.replace("wss", "ws"), "ecg/1"), ("top", page.replace("https", "http"), "--once")):
            assert "if it uses TLS, connect by wss:// or https://" in run(*plain, code=1).output
        with urllib.request.urlopen(page, context=client_context(), timeout=10) as answer:
            overview = answer.read().decode()
    assert f"{page} " in overview
    assert f"{url} " in overview
    assert read_record(tmp_path / "a.edf").leads[:2] == ("I", "II")


def test_a_certificate_that_is_right(tmp_path):
    for paths in ((CHAIN, KEY), issued(tmp_path, "a")):
        assert not load_certificate(*paths).is_self_signed
    both = tmp_path / "both.pem"
    both.write_bytes(CHAIN.read_bytes() + KEY.read_bytes())
    found = load_certificate(both, None)
    assert set(found.names) == {"127.0.0.1", "localhost"}
    assert found.name_for("localhost") == "localhost"
    assert found.name_for("10.0.0.7") in found.names
    assert "::1" in load_certificate(*issued(tmp_path, "b")).names


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("good.pem", "old-key.pem", "old-key.pem: this key does not belong to the certificate .*good.pem"),
        ("good.pem", None, "good.pem: no key in it .*--ssl-keyfile"),
        ("good.pem", "text", "text: no key in it"),
        ("good.pem", "locked.pem", "locked.pem: the key is encrypted; decrypt it: openssl pkey -in "),
        ("good-key.pem", "good-key.pem", "good-key.pem: no certificate in it"),
        ("text", "good-key.pem", "text: no certificate in it"),
        ("old.pem", "old-key.pem", "old.pem: the certificate has expired, .*; renew it"),
        ("early.pem", "early-key.pem", "early.pem: the certificate is not yet valid, .* clock"),
    ],
)
def test_faults_of_a_certificate_are_named(faulty, certificate, key, words):
    with pytest.raises(ToolError, match=words):
        load_certificate(faulty / certificate, None if key is None else faulty / key)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """Return a folder of certificates and keys that are good, expired, not yet valid, encrypted, or text."""
    serialization = optional("cryptography.hazmat.primitives.serialization")
    folder = tmp_path_factory.mktemp("faulty")
    issued(folder, "good")
    issued(folder, "old", not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=datetime(2020, 1, 2, tzinfo=UTC))
    issued(folder, "early", not_before=datetime(2999, 1, 1, tzinfo=UTC))
    (folder / "text").write_text("none")
    key = serialization.load_pem_private_key((folder / "good-key.pem").read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"word"),
    )
    (folder / "locked.pem").write_bytes(locked)
    return folder


def test_mistakes_of_usage(tmp_path):
    assert "requires --ssl-certfile" in run("serve", "--ssl-keyfile", KEY, code=2).output
    missing = run("serve", "--ssl-certfile", tmp_path / "nowhere.pem", "--ssl-keyfile", KEY, code=1)
    assert "nowhere.pem: No such file or directory" in missing.output
    missing = run("serve", "--ssl-certfile", CHAIN, "--ssl-keyfile", tmp_path / "nowhere.pem", code=1)
    assert "nowhere.pem: No such file or directory" in missing.output
