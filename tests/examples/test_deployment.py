"""The files of examples/deployment: checked by the programs that read them, and most of them run together."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from urllib.parse import urlencode

import pytest
from certificates import certificate
from cli.live_server import live
from pages import ROOT, blocks
from ports import unused_port
from recordings import optional
from running import run

yaml = optional("yaml")
optional("websockets")
optional("redis")

from server.proxies import PATH  # noqa: E402 - after the skip
from server.redis_server import RedisServer  # noqa: E402

import ecgframe  # noqa: E402

FOLDER = ROOT / "examples" / "deployment"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((FOLDER / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
DRAWN = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
SERVERS = ("player", "viewers")


def program(name: str, package: str) -> str:
    """The path of a program; without it, skip the test."""
    found = shutil.which(name, path=PATH)
    if found is None:
        missing = f"{name} is not installed (Debian, Ubuntu: apt install {package})"
        assert "ECGFRAME_REQUIRE_PEERS" not in os.environ, missing
        pytest.skip(missing)
    return found


def run_program(*words: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


# --- each file ---


def test_prometheus_takes_its_files():
    promtool = program("promtool", "prometheus")
    run_program(promtool, "check", "config", "--syntax-only", FOLDER / "prometheus.yml")
    run_program(promtool, "check", "rules", FOLDER / "alerts.yml")


def test_each_alert_fires_when_it_should_and_not_before():
    run_program(program("promtool", "prometheus"), "test", "rules", FOLDER / "alerts_test.yml")
    cases = yaml.safe_load((FOLDER / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    fired = {case["alertname"] for test in cases for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in RULES}


def test_systemd_takes_the_unit(tmp_path):
    analyze = program("systemd-analyze", "systemd")
    text = (FOLDER / "ecgframe.service").read_text(encoding="utf-8")
    unit = tmp_path / "ecgframe.service"
    unit.write_text(text.replace("/opt/ecgframe/bin/ecgframe", sys.executable), encoding="utf-8")
    said = run_program(analyze, "verify", unit)
    assert said.stdout + said.stderr == ""
    run_program(analyze, "security", "--offline=yes", "--threshold=20", unit)


def test_the_command_of_the_unit_runs():
    text = (FOLDER / "ecgframe.service").read_text(encoding="utf-8")
    words = re.search(r"^ExecStart=(.+)$", text, re.M)[1].split()
    assert words[1] == "serve"
    shown = subprocess.run(
        [sys.executable, "-m", "ecgframe", "serve", *words[2:], "--help"], capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr


def test_the_files_that_are_mounted_exist():
    mounted = [
        volume.split(":")[0] for service in COMPOSE["services"].values() for volume in service.get("volumes", ())
    ]
    files = [
        FOLDER / path for path in mounted if path.startswith("./") and path != "./tls"
    ]  # the page tells to make it
    assert len(files) == 6
    assert all(path.is_file() for path in files)
    volumes = {path for path in mounted if not path.startswith("./")}
    assert volumes == set(COMPOSE["volumes"])
    assert (ROOT / COMPOSE["x-server"]["build"]["dockerfile"]).is_file()


def test_the_image_installs_what_serve_needs():
    text = (FOLDER / "Containerfile").read_text(encoding="utf-8")
    built, installed = (set(names.split(",")) for names in re.findall(r"\[([\w,]+)\]", text)[:2])
    assert built == installed == {"cli", "server", "redis", "metrics", "logs", "seal"}
    assert f"FROM python:{sys.version_info[0]}." in text


def test_the_probe_of_the_servers_is_a_program():
    command = COMPOSE["x-server"]["healthcheck"]["test"]
    with live() as server:
        probe = command[3].replace("8765", str(server.port))
        run_program(sys.executable, "-c", probe)
    ended = subprocess.run([sys.executable, "-c", probe], capture_output=True, check=False, timeout=60)
    assert ended.returncode != 0


def test_the_page_names_each_file_and_each_alert():
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    files = {path.name for path in FOLDER.iterdir() if path.is_file()}
    assert files <= set(re.findall(r"[\w.]+", page))
    told = re.findall(r"^\| `(\w+)` \| (critical|warning) \|", page, re.M)
    assert sorted(told) == sorted((rule["alert"], rule["labels"]["severity"]) for rule in RULES)


def test_the_panels_do_not_overlap():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


# --- all together ---


@contextmanager
def running(*words: object, **options: object):
    process = subprocess.Popen(
        [*map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def arguments_of(name: str, redis: RedisServer) -> list[str]:
    """The arguments of a server in the compose file, for this machine."""
    verb, *words = COMPOSE["services"][name]["command"]
    assert verb == "serve"
    changes = {"0.0.0.0": "127.0.0.1", "redis://redis": redis.url}
    return [changes.get(word, word) for word in words]


def ask(url: str, context: ssl.SSLContext | None = None) -> str:
    with urllib.request.urlopen(url, timeout=30, context=context) as answer:
        return answer.read().decode()


def answer_of(url: str, context: ssl.SSLContext | None = None) -> str:
    """Ask until there is an answer."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return ask(url, context)
        except OSError:
            assert time.monotonic() < deadline, url
            time.sleep(0.1)


def with_token(text: str, token_file: object) -> str:
    """The configuration of Prometheus with the lines of the page for a token."""
    [lines] = [block.text for block in blocks("docs/deployment.md") if "credentials_file" in block.text]
    place = "  - job_name: ecgframe\n"
    assert text.count(place) == 1
    return text.replace(place, place + lines.replace("/etc/prometheus/ecgframe.token", str(token_file)))


@pytest.mark.slow
def test_prometheus_asks_with_the_token_of_the_page(tmp_path):
    promtool, prometheus = program("promtool", "prometheus"), program("prometheus", "prometheus")
    [people] = [block.text for block in blocks("docs/deployment.md") if "[[person]]" in block.text]
    tokens, secret, config = tmp_path / "tokens.toml", tmp_path / "token", tmp_path / "prometheus.yml"
    tokens.write_text(people, encoding="utf-8")
    text = (FOLDER / "prometheus.yml").read_text(encoding="utf-8").replace("5s", "1s")
    shutil.copy(FOLDER / "alerts.yml", tmp_path)
    with live("--tokens", tokens) as server:
        text = re.sub(r"targets: \[.*\]", f'targets: ["127.0.0.1:{server.port}"]', text)
        for token, up in (("another", 0), ("scrape", 1)):
            secret.write_text(token, encoding="utf-8")
            config.write_text(with_token(text, secret), encoding="utf-8")
            run_program(promtool, "check", "config", config)
            asked = unused_port()
            kept = f"--storage.tsdb.path={tmp_path}/kept-{token}"
            with running(prometheus, f"--config.file={config}", kept, f"--web.listen-address=127.0.0.1:{asked}"):
                observer = Prometheus(asked)
                observer.ready()
                observer.until('up{job="ecgframe"}', [up])


class Prometheus:
    """The real one, with the configuration of the example and servers of this machine."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def values(self, expression: str) -> list[float]:
        """The values of an expression now; an error fails the test."""
        answer = json.loads(ask(f"{self._url}/api/v1/query?{urlencode({'query': expression})}"))
        return [float(found["value"][1]) for found in answer["data"]["result"]]

    def until(self, expression: str, values: list[float]) -> None:
        deadline = time.monotonic() + 120
        while sorted(found := self.values(expression)) != values:
            assert time.monotonic() < deadline, (expression, found)
            time.sleep(0.2)

    def ready(self) -> None:
        answer_of(f"{self._url}/-/ready")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="runs what Debian has")
def test_the_whole_ward(tmp_path):
    """Viewers watch through nginx, over TLS, on both servers; Prometheus has each metric that is used."""
    nginx, prometheus = program("nginx", "nginx"), program("prometheus", "prometheus")
    program("redis-server", "redis-server")
    redis = RedisServer(tmp_path)
    redis.start()
    chain, key, authority = certificate()
    with ExitStack() as stack:
        stack.callback(redis.kill)
        ports = {name: stack.enter_context(live(*arguments_of(name, redis))).port for name in SERVERS}
        secure, asked = unused_port(), unused_port()

        text = (FOLDER / "nginx.conf").read_text(encoding="utf-8")
        for old, new in {
            "listen 443 ": f"listen 127.0.0.1:{secure} ",
            "/etc/ssl/ecg/chain.pem": str(chain),
            "/etc/ssl/ecg/key.pem": str(key),
            "http {": f"pid {tmp_path}/pid;\nhttp {{\naccess_log off;\n"
            + "".join(
                f"{kind}_temp_path {tmp_path};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            ),
            **{f"{name}:8765": f"127.0.0.1:{port}" for name, port in ports.items()},
        }.items():
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "nginx.conf").write_text(text, encoding="utf-8")
        words = (nginx, "-c", tmp_path / "nginx.conf", "-e", tmp_path / "nginx.log", "-g", "daemon off;")
        stack.enter_context(running(*words))

        text = (FOLDER / "prometheus.yml").read_text(encoding="utf-8").replace("5s", "1s")
        for name, port in ports.items():
            assert f"{name}:8765" in text
            text = text.replace(f"{name}:8765", f"127.0.0.1:{port}")
        (tmp_path / "prometheus.yml").write_text(text, encoding="utf-8")
        shutil.copy(FOLDER / "alerts.yml", tmp_path)
        kept = (f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/kept")
        stack.enter_context(running(prometheus, *kept, f"--web.listen-address=127.0.0.1:{asked}"))
        observer = Prometheus(asked)
        observer.ready()

        context = ssl.create_default_context(cafile=authority)
        answer_of(f"https://localhost:{secure}/healthz", context)
        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            ask(f"https://localhost:{secure}/metrics", context)
        refused.value.close()

        async def watch() -> None:
            url = f"wss://localhost:{secure}/ws"
            async with ecgframe.connect(url, ssl=context) as one, ecgframe.connect(url, ssl=context) as two:
                for client in (one, two):
                    async for message in client.subscribe("ecg/16"):
                        if message.type is ecgframe.MessageType.ECG_DATA:  # and not what was detected in it
                            assert message.data["sampling_rate"] == 1000
                            break
                await asyncio.to_thread(observer.until, "ecgframe_connections", [1, 1])  # nginx spreads them
                await asyncio.to_thread(observer.until, 'up{job="ecgframe"}', [1, 1])
                await asyncio.to_thread(has_all, observer)

        def has_all(observer: Prometheus) -> None:
            exposed = "".join(ask(f"http://127.0.0.1:{port}/metrics") for port in ports.values())
            names = set(re.findall(r"^# HELP (\w+)", exposed, re.M)) | {"up"}
            for expression in [*DRAWN, *(rule["expr"] for rule in RULES)]:
                used = {
                    re.sub("_(?:bucket|count)$", "", name)
                    for name in re.findall(r"\b(?:ecgframe_|process_)\w+|\bup\b", expression)
                }
                assert used, expression
                assert used <= names, (expression, used - names)
                observer.values(expression)
            deadline = time.monotonic() + 120
            empty = {"ecgframe_errors_sent_total", "ecgframe_connections_closed_total"}  # until one is sent, or closed
            for expression in DRAWN:
                while not observer.values(expression) and not any(name in expression for name in empty):
                    assert time.monotonic() < deadline, expression
                    time.sleep(0.2)
            firing = {
                rule["alert"]
                for rule in RULES
                if observer.values(f'ALERTS{{alertname="{rule["alert"]}", alertstate="firing"}}')
            }
            assert firing == set()

        run(watch())
