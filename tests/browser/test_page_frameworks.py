"""``<ecg-monitor>`` in fresh pages of React, Vue, Angular and plain HTML, made by the lines of docs/parts.md."""

from __future__ import annotations

import os
import re
import shlex
import shutil

import pytest
from cli.live_server import live
from pages import ROOT

from browser.element import Element
from browser.npm_package import packed, run
from browser.served_folder import serving

pytestmark = pytest.mark.alone

PAGE = (ROOT / "docs" / "parts.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
UNREACHABLE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("built"))


def lines(section):
    [block] = re.findall(r"^```sh\n(.*?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL)
    return block.splitlines()


def follow(section, folder, archive):
    """Run the lines of a section, with the built package for the published one; return the folder of the page."""
    for line in lines(section):
        if line.startswith("cd "):
            folder = folder / line.removeprefix("cd ")
            continue
        command = line.replace("install ecgframe", f"install --no-audit --no-fund {shlex.quote(str(archive))}")
        try:
            run(folder, "sh", "-c", command)
        except AssertionError as error:
            if UNREACHABLE.search(str(error)) and "ECGFRAME_REQUIRE_PEERS" not in os.environ:
                pytest.skip(f"the registry is out of reach: {line}")
            raise
    return folder


@pytest.mark.parametrize("section", ["Plain HTML", "React", "Vue", "Angular"])
def test_a_fresh_page_is_live(section, archive, browser, tmp_path):
    made = follow(section, tmp_path, archive)
    pages = made / "dist" if (made / "dist").is_dir() else made
    with live() as server, serving(pages) as address:
        for file in pages.rglob("*"):
            if file.suffix in (".js", ".html") and "node_modules" not in file.parts:
                text = file.read_text(encoding="utf-8")
                file.write_text(text.replace("localhost:8765", f"127.0.0.1:{server.port}"), encoding="utf-8")
        context = browser.new_context(viewport={"width": 1000, "height": 620})
        element = Element(context.new_page(), address)
        element.wait("m.signal?.buffer.end > 3000 && m.state === 'live'", 40)
        assert element.get("[...m.signal.buffer.leads]") == ["I", "II", "V1"]
        assert element.page.inner_text("#said") == "Live"
        if section != "Plain HTML":
            element.page.click("button")
            element.wait("m.signal?.buffer.leads.length === 1 && m.state === 'live'")
        element.shot(f"element-{section.replace(' ', '-').lower()}")
        assert element.events("ecg-error") == []
        element.check_quiet()
        context.close()


def test_the_program_draws_a_sheet_and_measures(archive, browser, tmp_path):
    [program] = re.findall(r"^```ts\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    run(tmp_path, "npm", "install", "--silent", "--no-audit", "--no-fund", str(archive))
    samples = "const millivolts = Float32Array.from({ length: 10_000 }, (_, at) => Math.sin(at / 40));\n"
    (tmp_path / "page.ts").write_text(samples + program, encoding="utf-8")
    (tmp_path / "index.html").write_text(
        '<!doctype html><canvas></canvas><script type="module" src="page.js"></script>', encoding="utf-8"
    )
    esbuild = ROOT / "client" / "node_modules" / ".bin" / "esbuild"
    run(tmp_path, str(esbuild), "page.ts", "--bundle", "--format=esm", "--outfile=page.js", "--log-level=warning")
    shutil.rmtree(tmp_path / "node_modules")
    with serving(tmp_path) as address:
        page = browser.new_page(viewport={"width": 1300, "height": 560})
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(f"uncaught: {error}"))
        page.goto(address)
        page.wait_for_timeout(300)
        assert said == ["824 ms · 73/min · +0.85 mV"]
        ink = """(() => { const c = document.querySelector("canvas");
          const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
          let trace = 0;
          for (let at = 0; at < data.length; at += 4) trace += data[at] < 60 && data[at + 1] < 60 && data[at + 2] < 90;
          return trace; })()"""
        assert page.evaluate(ink) > 5000
        page.close()


WORKER = """
import { bedside, drawGround, drawLabels, PALETTES, Sweep, TraceBuffer } from "ecgframe/monitor/parts";

const buffer = new TraceBuffer(["I", "II"], 500, 5000);
buffer.append(Float32Array.from({ length: 10_000 }, (_, at) => Math.sin(at / 40)), 5000, [1, 1], [0, 0]);
const layout = bedside(buffer.leads, 900, 400, { speed: 25, gain: 10 });
const pens = [0, 1, 2].map(() => new OffscreenCanvas(layout.width, layout.height).getContext("2d")!);
drawGround(pens[0], layout, PALETTES.dark, 1);
const sweep = new Sweep(pens[1]);
sweep.configure(layout, PALETTES.dark, 1, buffer);
sweep.redraw(4999);
drawLabels(pens[2], layout, PALETTES.dark, 1);
postMessage(pens.map((pen) => pen.getImageData(0, 0, layout.width, layout.height).data.filter(Boolean).length));
"""
"""Draws the paper, a live sweep and the names, and tells how many values of each canvas are not 0."""


def test_the_parts_draw_in_a_worker(archive, browser, tmp_path):
    run(tmp_path, "npm", "install", "--silent", "--no-audit", "--no-fund", str(archive))
    (tmp_path / "worker.ts").write_text(WORKER, encoding="utf-8")
    esbuild = ROOT / "client" / "node_modules" / ".bin" / "esbuild"
    run(tmp_path, str(esbuild), "worker.ts", "--bundle", "--format=esm", "--outfile=worker.js", "--log-level=warning")
    (tmp_path / "index.html").write_text("<!doctype html><title>A worker</title>", encoding="utf-8")
    with serving(tmp_path) as address:
        page = browser.new_page()
        page.goto(address)
        ink = page.evaluate("""new Promise((resolve, reject) => {
          const worker = new Worker("worker.js", { type: "module" });
          worker.onmessage = ({ data }) => resolve(data);
          worker.onerror = ({ message }) => reject(new Error(message));
        })""")
        assert min(ink) > 5000
        page.close()
