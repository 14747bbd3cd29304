"""docs/monitor.md: its keys are those of the page, and its example of a server runs."""

import asyncio
import re
import sys
import urllib.request
from pathlib import Path

import ports
import pytest
from recordings import optional
from running import run
from server.engines import client

from ecgframe.server.monitor_files import POLICY, monitor_files

PAGE = (Path(__file__).parents[2] / "docs" / "monitor.md").read_text(encoding="utf-8")


def test_the_keys_are_those_of_the_page():
    script = monitor_files()["/monitor.js"].body.decode()
    section = PAGE.split("## Keys")[1].split("\n## ")[0]
    told = [row.group(2) for row in re.finditer(r"^\| (.+?) \| (.+?) \|$", section, re.M)][2:]
    assert len(told) == len(re.findall(r'does:"[^"]+"', script)) == 25
    for does in told:
        assert f'does:"{does}"' in script


@pytest.mark.slow
def test_a_server_of_your_own_serves_the_page_with_its_streams(tmp_path, unused_port):
    for library in ("fastapi", "uvicorn", "websockets"):
        optional(library)
    [code] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
    program = tmp_path / "program.py"
    program.write_text(code.replace("8000", str(unused_port)), encoding="utf-8")

    async def ask():
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(program), env={"PYTHONPATH": ":".join(sys.path)}, stdout=-3, stderr=-3
        )
        try:
            await ports.wait_until_used(unused_port)
            async with client(unused_port, "/monitor/ws") as viewer:
                await viewer.subscribe("ecg/bed-7")
            return {name: await asyncio.to_thread(get, unused_port, name) for name in ("", "monitor.js", "streams")}
        finally:
            process.terminate()
            await process.wait()

    answers = run(ask())
    files = monitor_files()
    for name in ("", "monitor.js"):
        headers, body = answers[name]
        assert body == files[f"/{name}"].body
        assert headers["Content-Type"] == files[f"/{name}"].content_type
        assert headers["Content-Security-Policy"] == POLICY
    assert answers["streams"][1] == b'{"streams":["ecg/bed-7"]}'


def get(port, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/monitor/{name}", timeout=20) as answer:
        return answer.headers, answer.read()


@pytest.fixture
def unused_port():
    return ports.unused_port()
