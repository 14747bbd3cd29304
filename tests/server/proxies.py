"""Real proxies for tests: nginx, HAProxy and Caddy, each in a separate process with its own ports and directory.

They run with their defaults, changed only so far that WebSockets work, or with the configuration of docs/proxies.md.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from certificates import certificate
from pages import blocks
from ports import unused_port
from server.engines import Port

PAGE = "docs/proxies.md"
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"])


@dataclass
class Setup:
    """The parameters of a configuration.

    Attributes:
        directory: directory for files and logs of the proxy.
        target: port of the server behind the proxy.
        plain: port for ws.
        secure: port for wss.
        idle: idle timeout in seconds; None for the default of the proxy.
    """

    directory: Path
    target: int
    idle: float | None = None
    plain: int = field(default_factory=unused_port)
    secure: int = field(default_factory=unused_port)

    @property
    def pem(self) -> Path:
        """The certificate and the key in one file, for HAProxy."""
        chain, key, _ = certificate()
        path = self.directory / "ecg.pem"
        path.write_bytes(chain.read_bytes() + key.read_bytes())
        return path


def page_blocks(kind: str) -> list[str]:
    """The configurations of a proxy on the page, in order."""
    return [block.text for block in blocks(PAGE) if block.words == kind]


def replaced(text: str, **changes: str) -> str:
    """Replace parts of a text, each of which must occur in it."""
    for old, new in changes.items():
        assert old in text, f"{PAGE} has no {old!r} any more"
        text = text.replace(old, new)
    return text


# --- nginx ---


def nginx_file(setup: Setup, main: str, http: str) -> str:
    """Debian's nginx.conf around a file of conf.d, without its fixed paths."""
    kept = "\n".join(
        f"{name}_temp_path {setup.directory};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"daemon off;\npid {setup.directory}/pid;\nerror_log {setup.directory}/log;\n"
        f"{main}\nhttp {{\naccess_log off;\n{kept}\n{http}\n}}\n"
    )


def nginx_by_default(setup: Setup) -> str:
    chain, key, _ = certificate()
    idle = "" if setup.idle is None else f"proxy_read_timeout {round(setup.idle * 1000)}ms;"
    return nginx_file(
        setup,
        "events {}",
        f"""
        server {{
            listen 127.0.0.1:{setup.plain};
            listen 127.0.0.1:{setup.secure} ssl;
            ssl_certificate {chain};
            ssl_certificate_key {key};
            location / {{
                proxy_pass http://127.0.0.1:{setup.target};
                proxy_http_version 1.1;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection "upgrade";
                {idle}
            }}
        }}""",
    )


def nginx_of_the_page(setup: Setup) -> str:
    chain, key, _ = certificate()
    main, http = page_blocks("nginx")
    changes = {
        "listen 80 ": f"listen 127.0.0.1:{setup.plain} ",
        "listen 443 ": f"listen 127.0.0.1:{setup.secure} ",
        "127.0.0.1:8765": f"127.0.0.1:{setup.target}",
        "/etc/ssl/ecg/chain.pem": str(chain),
        "/etc/ssl/ecg/key.pem": str(key),
    }
    return nginx_file(setup, main, replaced(http, **changes))


# --- HAProxy ---


def haproxy_by_default(setup: Setup) -> str:
    idle = 50_000 if setup.idle is None else round(setup.idle * 1000)  # 50 s is Debian's default
    return f"""
defaults
    mode http
    timeout connect 5000
    timeout client {idle}
    timeout server {idle}

frontend viewers
    bind 127.0.0.1:{setup.plain}
    bind 127.0.0.1:{setup.secure} ssl crt {setup.pem}
    default_backend ecgframe

backend ecgframe
    server one 127.0.0.1:{setup.target}
"""


def haproxy_of_the_page(setup: Setup) -> str:
    [text] = page_blocks("haproxy")
    changes = {
        "bind :80\n": f"bind 127.0.0.1:{setup.plain}\n",
        "bind :443 ": f"bind 127.0.0.1:{setup.secure} ",
        "127.0.0.1:8765": f"127.0.0.1:{setup.target}",
        "/etc/ssl/ecg/chain-and-key.pem": str(setup.pem),
    }
    return replaced(text, **changes)


# --- Caddy ---


def caddy_by_default(setup: Setup) -> str:
    chain, key, _ = certificate()
    return f"""{{
    admin off
}}
:{setup.plain} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{setup.target}
}}
:{setup.secure} {{
    bind 127.0.0.1
    tls {chain} {key}
    reverse_proxy 127.0.0.1:{setup.target}
}}
"""


def caddy_of_the_page(setup: Setup) -> str:
    chain, key, _ = certificate()
    [text] = page_blocks("caddy")
    changes = {
        ":80 {\n": f":{setup.plain} {{\n    bind 127.0.0.1\n",
        ":443 {\n": f":{setup.secure} {{\n    bind 127.0.0.1\n",
        "127.0.0.1:8765": f"127.0.0.1:{setup.target}",
        "/etc/ssl/ecg/chain.pem": str(chain),
        "/etc/ssl/ecg/key.pem": str(key),
    }
    assert text.startswith("{\n")
    return replaced("{\n    admin off\n" + text.removeprefix("{\n"), **changes)


# --- running them ---


@dataclass(frozen=True)
class Kind:
    """One proxy program."""

    program: str
    arguments: tuple[str, ...]
    by_default: Callable[[Setup], str]
    of_the_page: Callable[[Setup], str]


KINDS = {
    "nginx": Kind("nginx", ("-c", "FILE"), nginx_by_default, nginx_of_the_page),
    "haproxy": Kind("haproxy", ("-db", "-f", "FILE"), haproxy_by_default, haproxy_of_the_page),
    "caddy": Kind("caddy", ("run", "--adapter", "caddyfile", "--config", "FILE"), caddy_by_default, caddy_of_the_page),
}


class Proxy:
    """A proxy on two ports of 127.0.0.1, which stay the same after a restart."""

    def __init__(self, kind: Kind, program: str, setup: Setup, configuration: str) -> None:
        self._setup = setup
        self._log = setup.directory / "output"
        path = setup.directory / "configuration"
        path.write_text(configuration)
        self._command = [program, *(str(path) if word == "FILE" else word for word in kind.arguments)]
        self._process: subprocess.Popen[bytes] | None = None

    def port(self, tls: bool) -> Port:
        """The port for ws, or for wss."""
        port = Port(self._setup.secure if tls else self._setup.plain)
        port.is_secure = tls
        return port

    def start(self) -> None:
        """Start it, and return once it listens."""
        home = {name: str(self._setup.directory) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=os.environ | home, stdout=log, stderr=log, start_new_session=True
            )
        give_up = time.monotonic() + 20
        while not (_listens(self._setup.plain) and _listens(self._setup.secure)):
            assert self._process.poll() is None, f"{self._command} ended:\n{self._log.read_text()}"
            assert time.monotonic() < give_up, f"{self._command} does not listen:\n{self._log.read_text()}"
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop it with all its connections, as a restart of its unit does; kill it if that takes too long."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(2)  # so that nginx ends its workers, and waits for them
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._process = None
            while _listens(self._setup.plain) or _listens(self._setup.secure):
                time.sleep(0.01)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def proxy(name: str, directory: Path, target: int, *, page: bool = False, idle: float | None = None) -> Iterator[Proxy]:
    """Run a proxy for a port; skip the test if the program is not installed.

    Args:
        name: key of ``KINDS``.
        directory: directory for files and logs of the proxy.
        target: port of the server behind the proxy.
        page: whether to use the configuration of docs/proxies.md instead of the defaults.
        idle: idle timeout in seconds; None for the default.
    """
    kind = KINDS[name]
    program = shutil.which(kind.program, path=PATH)
    if program is None:
        missing = f"{name} is not installed (Debian, Ubuntu: apt install {name})"
        assert "ECGFRAME_REQUIRE_PEERS" not in os.environ, missing
        pytest.skip(missing)
    setup = Setup(directory, target, idle)
    running = Proxy(kind, program, setup, (kind.of_the_page if page else kind.by_default)(setup))
    try:
        running.start()
        yield running
    finally:
        running.stop()
