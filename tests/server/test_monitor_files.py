"""The files of the browser monitor: content type, ETag, policy and gzip."""

import gzip
import json
import re
from urllib.parse import quote

import pytest
from server.test_pages import ask

from ecgframe.server.monitor_files import HEADERS, accepts_gzip, headers_for, monitor_files

FILES = monitor_files()


def get(path, *headers):
    lines = [f"GET {path} HTTP/1.1", "Host: a", *headers, "", ""]
    return ask("\r\n".join(lines).encode())


def test_the_page_and_all_its_files_are_served():
    assert {"/", "/monitor.js", "/monitor.css", "/icon.svg"} <= FILES.keys()
    asked_for = re.findall(r'(?:src|href)="([^"]+)"', FILES["/"].body.decode())
    assert asked_for
    assert {f"/{name}" for name in asked_for} <= FILES.keys()


def test_the_wall_and_all_its_files_are_served():
    assert {"/wall", "/wall.js", "/wall-worker.js", "/wall.css"} <= FILES.keys()
    assert "/wall.html" not in FILES
    asked_for = re.findall(r'(?:src|href)="([^"]+[a-z])"', FILES["/wall"].body.decode())
    assert set(asked_for) == {"icon.svg", "wall.css", "wall.js"}
    assert b"wall-worker.js" in FILES["/wall.js"].body
    assert get("/wall?streams=ecg/1,ecg/2")[2] == FILES["/wall"].body


def test_the_worker_may_connect_to_the_server_that_the_address_names():
    _, headers, _ = get("/wall-worker.js?server=ws://127.0.0.1:8766")
    assert "connect-src 'self' ws://127.0.0.1:8766" in headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", FILES)
def test_a_file_has_its_content_type_and_policy(path):
    status, headers, body = get(path, "Accept: text/html")
    file = FILES[path]
    assert status == "HTTP/1.1 200 OK"
    assert body == file.body
    assert headers["Content-Type"] == file.content_type
    assert headers["Content-Length"] == str(len(body))
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["ETag"] == file.tag
    policy = dict(directive.split(" ", 1) for directive in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert policy["style-src"] == policy["connect-src"] == "'self'"


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_compressed_for_browsers_that_accept_gzip(path):
    status, headers, body = get(path, "Accept: text/html", "Accept-Encoding: br, gzip;q=0.5")
    assert (status, headers["Content-Encoding"]) == ("HTTP/1.1 200 OK", "gzip")
    assert gzip.decompress(body) == FILES[path].body
    assert "Accept-Encoding" in headers["Vary"]


@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}', "*"])
def test_a_cached_file_is_not_sent_again(known):
    tag = FILES["/monitor.js"].tag
    status, headers, body = get("/monitor.js", f"If-None-Match: {known.format(tag)}")
    assert (status, headers["ETag"], body) == ("HTTP/1.1 304 Not Modified", tag, b"")
    assert "Content-Length" not in headers
    assert get("/monitor.js", 'If-None-Match: "other"')[0] == "HTTP/1.1 200 OK"


def test_browsers_get_the_page_and_other_clients_the_overview():
    browser = "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
    assert get("/", browser)[2].startswith(b"<!doctype html>")
    for accept in ("Accept: */*", "Accept: text/plain", "X: y"):
        _, headers, body = get("/", accept)
        assert body.startswith(b"ecgframe: live ECG streams")
        assert headers["Vary"] == "Accept"


def test_the_streams_are_listed():
    _, headers, body = get("/streams")
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"streams": ["ecg/1", "ecg/2"]}


@pytest.mark.parametrize("path", ["/../pages.py", "/monitor.js/", "/index.html.", "//monitor.js", "/%2e%2e/pages.py"])
def test_other_paths_are_not_found(path):
    assert get(path)[0] == "HTTP/1.1 404 Not Found"


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=0.1", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("identity", False),
        ("x-gzip-not", False),
    ],
)
def test_accept_encoding(header, takes):
    assert accepts_gzip(header) is takes


@pytest.mark.parametrize(
    ("server", "sources"),
    [
        ("ws://127.0.0.1:8766", "ws://127.0.0.1:8766 http://127.0.0.1:8766"),
        ("https://ecg.example.org/a/ws", "wss://ecg.example.org https://ecg.example.org"),
        ("wss://[::1]:7", "wss://[::1]:7 https://[::1]:7"),
        ("localhost:9", "ws://localhost:9 wss://localhost:9 http://localhost:9 https://localhost:9"),
    ],
)
def test_a_page_may_connect_only_to_the_server_in_its_query(server, sources):
    _, headers, _ = get(f"/?theme=light&server={server}", "Accept: text/html")
    assert f"; connect-src 'self' {sources}; " in headers["Content-Security-Policy"]
    other = [part for part in headers["Content-Security-Policy"].split("; ") if not part.startswith("connect-src")]
    usual = [part for part in HEADERS["Content-Security-Policy"].split("; ") if not part.startswith("connect-src")]
    assert other == usual


@pytest.mark.parametrize(
    "server",
    [
        "",
        "*",
        "ws:",
        "ws://",
        "ws://*",
        "ftp://a",
        "ws://a;script-src *",
        "ws://a b",
        "ws://u@a",
        "ws://a:x",
        "ws://[",
        "a,b",
    ],
)
def test_an_invalid_server_in_the_query_changes_nothing(server):
    assert headers_for(f"server={quote(server)}") == dict(HEADERS)
