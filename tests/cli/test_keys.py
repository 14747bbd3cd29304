"""``ecgframe keys``, and the commands that use its files."""

import json
import os
import re
import stat
import time

import pytest
from certificates import certificate
from cli.live_server import live
from command_line import run
from recordings import optional

optional("websockets")
pytest.importorskip("cryptography")

from ecgframe.cli.serve.stream_keys import load_signer  # noqa: E402 - after the skip
from ecgframe.seal import Key, StoredKeys, keys_from_file, keys_to_json  # noqa: E402 - after the skip
from ecgframe.server.key_file import KeyFile  # noqa: E402 - as above
from ecgframe.signing import key_name  # noqa: E402 - as above

CHAIN, KEY, ROOT = certificate()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys.json"


def test_new_keys_are_random_and_private(file):
    made = run("keys", "new", file, "ecg/1", "ecg/2", "ecg/1").output
    assert made.endswith("2 keys made, 2 keys in it\n")
    run("keys", "new", file, "ecg/3")
    keys = list(keys_from_file(file))
    assert [key.stream for key in keys] == ["ecg/1", "ecg/2", "ecg/3"]
    assert len({key.id for key in keys}) == len({key.secret for key in keys}) == 3
    assert all(key.begins is key.ends is None for key in keys)
    if os.name != "nt":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(key.secret.hex() in made for key in keys)


def test_a_rotation_ends_the_present_key_when_the_next_begins(file):
    run("keys", "new", file, "ecg/1", "ecg/2")
    before = time.time()
    run("keys", "rotate", file, "ecg/1", "--after", 300)
    first, other, following = keys_from_file(file)
    assert first.ends == following.begins
    assert before + 299 < first.ends < time.time() + 301
    assert other.ends is None
    assert following.ends is None
    run("keys", "rotate", file, "--after", 600)
    assert len(list(keys_from_file(file))) == 5
    keyring = keys_from_file(file, now=lambda: before + 450)
    assert keyring.current("ecg/1").id == following.id
    assert keyring.upcoming("ecg/1") is not None


def test_keys_that_ended_long_ago_are_removed(file):
    now = time.time()
    old = Key(1, "ecg/1", bytes(32), ends=now - 25 * 3600)
    file.write_text(keys_to_json([old, Key(2, "ecg/1", bytes(range(32)), begins=now - 25 * 3600)]))
    assert "1 key removed" in run("keys", "rotate", file).output
    assert next(iter(keys_from_file(file))).id == 2


def test_the_list_has_no_secrets(file):
    run("keys", "new", file, "ecg/1")
    run("keys", "rotate", file, "--after", 300)
    first, following = keys_from_file(file)
    text = run("keys", "list", file).output
    assert re.search(rf"^ecg/1: {first.id}, in use, ends ....-..-..T..:..:..\+00:00$", text, re.M)
    assert f"ecg/1: {following.id}, not in use yet, begins " in text
    shown = run("keys", "list", file, "--json").output
    assert [one["state"] for one in json.loads(shown)["keys"]] == ["in use", "not in use yet"]
    assert not any(key.secret.hex() in text + shown for key in (first, following))


def test_errors_of_key_files_contain_no_secret(file):
    run("keys", "new", file, "ecg/1")
    [key] = keys_from_file(file)
    said = [run("keys", "new", file, "ecg/1", code=2).output, run("keys", "rotate", file, "ecg/2", code=2).output]
    assert "has a key already" in said[0]
    assert "has no key of ecg/2" in said[1]
    assert "1 to 256 characters" in run("keys", "new", file, "", code=2).output
    run("keys", "rotate", file, "--after", 600)
    said.append(run("keys", "rotate", file, "--after", 300, code=2).output)
    assert "begins at" in said[-1]
    assert "No such file" in run("keys", "list", file.with_name("none"), code=1).output
    file.write_text(file.read_text().replace('"id"', '"ID"'))
    for command in (
        ("keys", "list", file),
        ("serve", "--stream-keys", file),
        ("watch", "ws://127.0.0.1:1/", "ecg/1", "--keys", file),
        ("record", "ws://127.0.0.1:1/", "ecg/1", "-o", file.with_name("x.edf"), "--keys", file),
    ):
        said.append(run(*command, code=2).output)
        assert "entry 0: 'id' is missing" in said[-1]
    assert key.secret.hex()[:16] not in "".join(said)


@pytest.mark.parametrize("command", ["inspect", "proxy", "sizes"])
def test_tools_say_that_they_do_not_use_the_keys_of_a_server(command):
    said = " ".join(run(command, "--help").output.replace("\u2502", " ").split())
    assert "Keys that a server hands out are not used" in said


def test_options_that_do_not_go_together(file):
    run("keys", "new", file, "ecg/1")
    assert "requires --stream-keys" in run("serve", "--keys-without-tls", code=2).output
    assert "in plain" in run("serve", "--stream-keys", file, "--redis", "redis://x", code=2).output


def test_a_file_that_changes_is_read_again(file, caplog):
    run("keys", "new", file, "ecg/1")
    keys = KeyFile(file)
    assert keys.is_private
    assert not keys.look()
    run("keys", "rotate", file, "--after", 300)
    assert keys.look()
    assert len(list(keys)) == 2
    text = file.read_text()
    file.write_text("[")
    assert not keys.look()
    assert "was not read again" in caplog.text
    assert len(list(keys)) == 2
    file.unlink()
    assert not keys.look()
    file.write_text(text)
    assert keys.look()
    if os.name != "nt":
        file.chmod(0o644)
        assert not keys.is_private


def test_keys_are_written_as_they_are_read(file):
    keys = [Key(1, "ecg/é", bytes(range(32))), Key(2, "b", bytes(32), 1.5, 2.5)]
    file.write_text(keys_to_json(keys), encoding="utf-8")
    assert list(keys_from_file(file)) == list(StoredKeys(keys)) == keys


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither these modes nor these owners")
def test_a_rotation_changes_keys_and_not_who_may_read_them(file, monkeypatch):
    """A server that runs as another user would not read the new keys, and its stream would end with the present one."""
    run("keys", "new", file, "ecg/1")
    file.chmod(0o640)
    if os.getuid() == 0:
        os.chown(file, 1234, 5678)
    before = file.stat()
    run("keys", "rotate", file)
    after = file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    monkeypatch.setattr(os, "fstat", lambda _: os.stat_result((0o100600, 0, 0, 1, 4321, 4321, 0, 0, 0, 0)))
    assert "belonged to another user" in run("keys", "rotate", file, "--after", 300).output
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_a_sealed_stream_is_watched_and_recorded(tmp_path, file):
    run("keys", "new", file, "ecg/1")
    with live("--stream-keys", file, "--ssl-certfile", CHAIN, "--ssl-keyfile", KEY, "--protocol", 4) as server:
        assert "Sealed: 1 stream, of which 1 are played here" in server.said
        url = f"wss://127.0.0.1:{server.port}/ws"
        for protocol in (3, 4):
            run("watch", url, "ecg/1", "--seconds", 0.5, "--ca", ROOT, "--protocol", protocol)
        said = run("watch", url, "ecg/1", "--seconds", 0.5, "--ca", ROOT, "--protocol", 2, code=1).output
        assert "this stream is sealed" in said
        run("record", url, "ecg/1", "-o", tmp_path / "a.edf", "--duration", 1.5, "--ca", ROOT)
    with live("--stream-keys", file) as server:
        assert "this server hands out none" in server.said
        url = f"ws://127.0.0.1:{server.port}/ws"
        assert "over TLS only" in run("watch", url, "ecg/1", "--seconds", 0.5, code=1).output
        said = run("watch", url, "ecg/1", "--seconds", 0.5, "--keys", file).output
        [sealed, messages] = re.search(r"^sealed +(\d+) of (\d+) messages?$", said, re.M).groups()
        assert sealed == messages
        run("record", url, "ecg/1", "-o", tmp_path / "b.edf", "--duration", 1.5, "--keys", file)
        others = tmp_path / "others.json"
        run("keys", "new", others, "ecg/1")
        unknown = ("ecg/1", "--keys", others, "--protocol", 4)
        said = run("watch", url, *unknown, "--seconds", 4.5, code=1).output
        assert "sealed with a key that is not known (--keys)" in said
        assert re.search(r"sealed +0 of 0 messages, \d+ MORE WITH AN UNKNOWN KEY", said)
        said = run("record", url, *unknown, "-o", tmp_path / "c.edf", "--duration", 1, code=1).output
        assert "not known (--keys), so nothing was recorded" in said


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_signing_key_that_others_can_read_is_told(tmp_path, capsys):
    pem = tmp_path / "signer.pem"
    signing_key(pem)
    pem.chmod(0o600)
    load_signer(pem)
    assert not capsys.readouterr().err
    pem.chmod(0o644)
    load_signer(pem)
    assert f"{pem} can be read by others than its owner" in capsys.readouterr().err


@pytest.mark.slow
def test_alerts_are_signed(tmp_path):
    pem = tmp_path / "signer.pem"
    public = signing_key(pem)
    with live("--signing-key", pem, "--protocol", 4, "--alerts", 0.2) as server:
        assert f", named {key_name(bytes.fromhex(public)).hex()}\n" in server.said
        assert (
            f"Alerts and predictions are signed, all else is attested each second: public key {public}" in server.said
        )
        run("watch", f"ws://127.0.0.1:{server.port}/ws", "ecg/1", "--seconds", 0.5, "--protocol", 4)
    pem.write_text("x")
    assert "PEM" in run("serve", "--signing-key", pem, code=2).output
    for below in (("--protocol", 3), ("--redis", "redis://127.0.0.1:1")):
        assert "would sign nothing" in run("serve", "--signing-key", pem, *below, code=2).output


@pytest.mark.slow
def test_a_live_sealed_stream_is_shown_as_such_and_opened_with_keys(file, tmp_path):
    run("keys", "new", file, "ecg/1")
    secret = json.loads(file.read_text())[0]["key"]
    pem = tmp_path / "signer.pem"
    public = signing_key(pem)
    with live("--stream-keys", file, "--signing-key", pem, "--protocol", 4) as server:
        source = (f"ws://127.0.0.1:{server.port}/ws", "--stream", "ecg/1", "--seconds", 2.5, "--protocol", 4)
        shown = run("inspect", *source).output
        assert "not unpacked: sealed with the key" in shown
        opened = run("inspect", *source, "--keys", file, "--verify", public).output
        assert "the signature is right" in opened
        assert "sampling_rate" in opened
        assert "sealed frames are left out; --keys opens them" in run("sizes", *source).output
        assert "ECG_DATA" in run("sizes", *source, "--keys", file).output
        recording = tmp_path / "a.frames"
        url = source[0]
        run("record", url, "ecg/1", "-o", recording, "--signatures", "--duration", 2.5, "--keys", file)
    for text in (shown, opened):
        assert secret not in text
    told = json.loads(run("verify", recording, "--signer", public, "--json", code=3).stdout)
    assert [fault["kind"] for fault in told["faults"]] == ["cut"]
    assert (
        "cannot hold signatures" in run("record", url, "ecg/1", "-o", tmp_path / "a.edf", "--signatures", code=2).output
    )


def signing_key(path):
    """Write a signing key to a PEM file, and return the public key in hexadecimal."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = Ed25519PrivateKey.generate()
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return private.public_key().public_bytes_raw().hex()
