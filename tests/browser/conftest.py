from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ports import unused_port


@pytest.fixture(scope="package")
def browser():
    """One Chromium for all tests of this directory; it ends before other tests use an event loop on this thread."""
    from browser.monitor import chromium

    with chromium() as found:
        yield found


@pytest.fixture
def open_monitor(browser):
    """Opens the page of a server, in a context of its own: ``open_monitor(port, query, size=...)``."""
    from browser.monitor import Monitor

    yield from _opening(browser, Monitor)


@pytest.fixture
def open_wall(browser):
    """Opens the wall of a server, in a context of its own: ``open_wall(port, query, size=...)``."""
    from browser.wall import Wall

    yield from _opening(browser, Wall)


def _opening(browser, kind):
    from browser.monitor import DESK

    contexts = []

    def opened(port, query="", size=DESK, **options):
        width, height = size
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        return kind(context.new_page(), port, query)

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def free_port():
    """A port for a server that is restarted on it."""
    return unused_port()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Each opens a page: these tests are slow ones."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """The built npm package."""
    from browser.npm_package import packed, unpacked

    return unpacked(packed(tmp_path_factory.mktemp("built")), tmp_path_factory.mktemp("package"))


@pytest.fixture
def open_element(browser, package, tmp_path):
    """Opens the plain HTML example with attributes that differ: ``open_element(port, stream="ecg/2")``."""
    from browser.element import Element
    from browser.npm_package import EXAMPLES
    from browser.served_folder import serving

    folder = shutil.copytree(EXAMPLES / "html", tmp_path / "html")
    shutil.copy(package / "dist" / "ecg-monitor.js", folder)
    shutil.copytree(package / "dist" / "ecg-monitor", folder / "ecg-monitor")
    index = folder / "index.html"
    text = index.read_text(encoding="utf-8")
    with serving(folder) as address:
        context = browser.new_context(viewport={"width": 1000, "height": 620})

        def opened(port, **attributes):
            page = text.replace("localhost:8765", f"127.0.0.1:{port}")
            index.write_text(page, encoding="utf-8")
            element = Element(context.new_page(), address)
            element.set(**attributes)
            return element

        yield opened
        context.close()
