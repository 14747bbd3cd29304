"""Pages of a server that admits only those with a token: they ask for it, keep it, and tell it nobody else."""

from __future__ import annotations

import hashlib
import json
import signal
from contextlib import contextmanager

from cli.live_server import LiveServer

from browser.geometry import resize
from browser.monitor import DESK
from browser.own_server import OwnServer

TOKEN = "tok-4711.Ab_c~d"
SIZES = (DESK, (390, 844), (683, 384))
DIALOG = "dialog.token"
LIVE = "s.link === 'open' && s.end > 0 && !s.lost"


def write(file, *tokens):
    """Write a file of tokens, for persons who may watch everything."""
    file.write_text(
        "".join(
            f'[[person]]\nname = "{number}"\nwatch = ["*"]\n'
            f'token_sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\n'
            for number, token in enumerate(tokens)
        )
    )


@contextmanager
def serving(tmp_path, *more):
    """A server that logs as much as it can. Its logs never have a token."""
    file, audit = tmp_path / "tokens.toml", tmp_path / "audit.jsonl"
    write(file, TOKEN)
    server = LiveServer(
        "--streams", 2, "--tokens", file, "--audit-log", audit, "--log-level", "debug", "--log-json", *more
    )
    try:
        yield server, file, audit
    finally:
        code, log = server.end(signal.SIGTERM)
    assert code == 0
    for text in (log, server.said, audit.read_text()):
        assert TOKEN not in text


def enter(page, token):
    page.fill(f"{DIALOG} input", token)
    page.click(f"{DIALOG} button")


def said(page):
    return page.inner_text(f"{DIALOG} p")


def test_the_monitor_asks_for_a_token_and_keeps_it_in_this_tab(open_monitor, tmp_path):
    with serving(tmp_path) as (server, _, audit):
        monitor = open_monitor(server.port)
        page = monitor.page
        page.wait_for_selector(DIALOG)
        assert "needs a token" in said(page)
        assert f"127.0.0.1:{server.port}" in said(page)
        for theme in ("dark", "light"):
            page.evaluate("theme => (document.documentElement.dataset.theme = theme)", theme)
            for width, height in SIZES:
                resize(page, width, height)
                box = page.locator(DIALOG).bounding_box()
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= width
                monitor.shot(f"token-{theme}-{width}x{height}")
        resize(page, *DESK)
        enter(page, "two words")
        assert "A token has letters" in said(page)
        enter(page, "another")
        monitor.wait("document.querySelector('dialog.token p').textContent.includes('does not accept')")
        assert page.input_value(f"{DIALOG} input") == ""
        enter(page, f" {TOKEN} ")
        monitor.wait(LIVE)
        assert not page.is_visible(DIALOG)
        page.reload()
        monitor.wait(LIVE)
        assert not page.is_visible(DIALOG)
        assert page.evaluate("Object.values(localStorage).join()").find(TOKEN) < 0
        assert page.eval_on_selector_all("#stream option", "all => all.map(one => one.value)") == ["ecg/1", "ecg/2"]
        monitor.check_quiet(refused=1)  # the list of streams, before there was a token
        refused = [
            record for line in audit.read_text().splitlines() if (record := json.loads(line))["event"] == "refused"
        ]
        assert len(refused) == 4, "without one and with another, each once more: nothing is tried again by itself"


def test_a_token_in_the_address_is_taken_out_of_it(open_monitor, tmp_path):
    with serving(tmp_path) as (server, file, _):
        monitor = open_monitor(server.port, f"?stream=ecg/2#token={TOKEN}")
        monitor.wait(LIVE)
        page = monitor.page
        assert page.url == f"http://127.0.0.1:{server.port}/?stream=ecg/2"
        assert TOKEN not in page.content()
        assert not page.is_visible(DIALOG)
        page.evaluate("location.hash = '#token=%22'")  # is none
        page.evaluate("location.hash = '#elsewhere'")
        page.reload()
        monitor.wait(LIVE)
        # Taken away: asked for again, and the address may bring another one to the open page.
        write(file, "another")
        page.wait_for_selector(DIALOG)
        assert "not any more" in said(page)
        page.evaluate("location.hash = '#token=another'")
        monitor.wait(LIVE)
        assert not page.is_visible(DIALOG)
        monitor.check_quiet()


def test_the_wall_asks_once_for_itself_and_the_monitors_of_its_beds(open_wall, tmp_path):
    with serving(tmp_path) as (server, _, _):
        wall = open_wall(server.port)
        page = wall.page
        page.wait_for_selector(DIALOG)
        wall.shot("token-wall")
        enter(page, "another")
        wall.wait("document.querySelector('dialog.token p').textContent.includes('does not accept')")
        enter(page, TOKEN)
        wall.wait_for_live(2)
        assert not page.is_visible(DIALOG)
        assert not page.is_visible("#notice")
        with page.context.expect_page() as opened:
            wall.tile("ecg/2").locator("a").first.click()
        bed = opened.value
        bed.wait_for_selector("#connection[data-state=live]")
        assert not bed.is_visible(DIALOG)
        wall.check_quiet(refused=1)


def test_the_pages_offer_the_streams_that_the_person_may_watch(open_monitor, open_wall, tmp_path):
    with serving(tmp_path, "--streams", 3) as (server, file, _):
        file.write_text(
            f'[[person]]\nname = "ward 7"\nwatch = ["ecg/[23]"]\ntoken_sha256 = "{hashlib.sha256(b"w7").hexdigest()}"\n'
        )
        server.wait_for_log("the file of tokens was read again")
        monitor = open_monitor(server.port, "#token=w7")
        monitor.wait(LIVE)
        assert monitor.page.input_value("#stream") == "ecg/2"
        offered = monitor.page.eval_on_selector_all("#stream option", "all => all.map(one => one.value)")
        assert offered == ["ecg/2", "ecg/3"]
        monitor.check_quiet()
        wall = open_wall(server.port, "#token=w7")
        wall.wait_for_live(2)
        assert wall.page.inner_text("#beds") == "2 beds"
        wall.check_quiet()


class Listening(OwnServer):
    """A server that notes which tokens it was sent."""

    def __init__(self):
        super().__init__(0.0, (1, 2, 3), 30.0, "theirs")
        self.tokens = []

    async def _authenticate(self, request):
        self.tokens.append(request.bearer_token)
        return await super()._authenticate(request)


def test_another_server_does_not_get_the_token_of_this_one(open_monitor, tmp_path):
    with serving(tmp_path) as (server, _, _), Listening().running() as other:
        monitor = open_monitor(server.port, f"#token={TOKEN}")
        monitor.wait(LIVE)
        page = monitor.page
        page.goto(f"{monitor.origin}?server=127.0.0.1:{other.port}")  # in the same tab
        page.wait_for_selector(DIALOG)
        assert f"127.0.0.1:{other.port} needs a token" in said(page)
        enter(page, "theirs")
        monitor.wait(LIVE)
        assert set(other.tokens) == {None, "theirs"}
        page.goto(f"{monitor.origin}?stream=ecg/1")
        monitor.wait(LIVE)
        assert not page.is_visible(DIALOG)
