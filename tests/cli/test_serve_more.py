"""``ecgframe serve --tokens``, ``--trusted-proxy`` and ``--also``."""

from __future__ import annotations

import hashlib
import json
import os
import urllib.error
import urllib.request

import numpy as np
import pytest
from cli.live_server import live
from client.servers import impatient, until, url_of
from running import run
from typer.testing import CliRunner

from ecgframe.cli.app import app
from ecgframe.client import ConnectionLost
from ecgframe.records import Record, save_record

pytestmark = pytest.mark.slow


def person(name, token, rest):
    return f'[[person]]\nname = "{name}"\ntoken_sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\n{rest}\n'


def test_only_those_in_the_file_watch_and_the_change_of_the_file_ends_it(tmp_path):
    file, audit = tmp_path / "tokens.toml", tmp_path / "audit.jsonl"
    file.write_text(person("ward 7", "w7", 'watch = ["ecg/*"]\nwatchers = true'))

    async def conversation(server):
        url = url_of(server.port)
        headers = {"X-Forwarded-For": "192.0.2.7"}
        async with (
            impatient(url, token="w7", additional_headers=headers) as viewer,
            viewer.subscribe("ecg/1") as watched,
        ):
            assert (await anext(watched)).data["stream"] == "ecg/1"
            page = urllib.request.Request(f"http://127.0.0.1:{server.port}/watchers?stream=ecg/1")
            page.add_header("Authorization", "Bearer w7")
            with urllib.request.urlopen(page) as answer:
                told = json.load(answer)
            assert [(one["name"], one["peer"]) for one in told["watchers"]] == [("ward 7", "192.0.2.7")]
            new = tmp_path / "new"
            new.write_text(person("ward 8", "w8", 'watch = ["ecg/*"]'))
            os.replace(new, file)
            await until(lambda: viewer.state == "closed")
        with pytest.raises(ConnectionLost):
            await impatient(url, token="w7").open()

    with live("--tokens", file, "--trusted-proxy", "127.0.0.0/8", "--audit-log", audit) as server:
        assert "Only those connect whose token is in the file" in server.said
        run(conversation(server))
    events = [json.loads(line) for line in audit.read_text().splitlines()]
    assert {"opened", "asked", "rights", "refused"} <= {one["event"] for one in events}
    assert {one.get("peer") for one in events if one["event"] == "opened"} == {"192.0.2.7"}


def test_the_commands_and_prometheus_read_pages_with_a_token(tmp_path):
    file = tmp_path / "tokens.toml"
    file.write_text(person("ward 7", "w7", 'watch = ["ecg/1"]') + person("prometheus", "scrape", "metrics = true"))

    def asked(server, path, token=None):
        request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}")
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def run_command(*words):
        return CliRunner().invoke(app, [*map(str, words)])

    with live("--tokens", file, "--streams", 2) as server:
        assert [asked(server, "/streams", token)[0] for token in (None, "w7", "scrape")] == [401, 200, 200]
        assert json.loads(asked(server, "/streams", "w7")[1]) == {"streams": ["ecg/1"], "user": "ward 7"}
        assert [asked(server, "/metrics", token)[0] for token in (None, "w7", "scrape")] == [401, 403, 200]
        assert asked(server, "/healthz")[0] == 200
        url = url_of(server.port)
        shown = run_command("top", url, "--once", "--interval", 0.1, "--header", "Authorization: Bearer scrape")
        assert shown.exit_code == 0, shown.output
        refused = run_command("top", url, "--once", "--interval", 0.1)
        assert refused.exit_code == 1
        assert "401" in refused.output
        assert "needs a token" in refused.output
    with live("--tokens", file, "--open-metrics") as server:
        assert [asked(server, path)[0] for path in ("/metrics", "/streams")] == [200, 401]


def test_open_metrics_needs_a_file_of_tokens():
    result = CliRunner().invoke(app, ["serve", "--open-metrics"])
    assert result.exit_code == 2
    assert "requires --tokens" in result.output


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [("--tokens", "a = 1", "at least one"), ("--trusted-proxy", "proxy.example.org", "does not appear to be")],
)
def test_what_is_wrong_is_said(tmp_path, option, value, told):
    file = tmp_path / "tokens.toml"
    file.write_text(value)
    result = CliRunner().invoke(app, ["serve", option, str(file) if option == "--tokens" else value])
    assert result.exit_code == 2
    assert told in " ".join(result.output.replace("│", " ").split())


def test_several_recordings_are_played_each_on_its_stream(tmp_path):
    paths = [tmp_path / "one.npz", tmp_path / "two.npz"]
    for path, level in zip(paths, (11, 22), strict=True):
        save_record(Record(np.full((1, 2500), level, dtype="int16"), 250, ["I"]), path)

    async def conversation(server):
        levels = []
        async with impatient(url_of(server.port)) as client:
            for stream in ("ecg/1", "ecg/2"):
                async with client.subscribe(stream) as watched:
                    levels.append({*(await anext(watched)).data["signal"].ravel().tolist()})
        return levels

    with live(paths[0], "--also", paths[1]) as server:
        assert server.streams == "ecg/1 to ecg/2"
        assert "ecg/2 plays" in server.said
        assert run(conversation(server)) == [{11}, {22}]
    refused = CliRunner().invoke(app, ["serve", str(paths[0]), "--also", str(paths[1]), "--error-log", str(paths[1])])
    assert refused.exit_code == 2
