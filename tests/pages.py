"""The pages of the documentation, as their tests read them: fenced blocks, and the commands that stand in the text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FENCED = re.compile(r"^(?P<indent> *)```(?P<words>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(ecgframe [^`]+)`")
PLACEHOLDER = re.compile(r"\b(?:SOURCE|URL|STREAM|RECORD|FILE)\b|\[")
# An end for what has none of its own.
BOUNDED = {
    "watch": ("--seconds", "0.3"),
    "top": ("--once", "--interval", "0.3"),
    "replay": ("--linger", "0.1"),
    "record": ("--duration", "0.3"),
    "bridge": ("--duration", "1.5"),
}


class Block(NamedTuple):
    """A fenced block: the words behind the fence, what stands in it, and the number of its first line."""

    words: str
    text: str
    line: int


def read(page: str) -> str:
    """A page, by its path from the root."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page."""
    text = read(page)
    return [Block(one["words"], one["text"], text.count("\n", 0, one.start()) + 2) for one in FENCED.finditer(text)]


def inline_commands(page: str) -> list[str]:
    """The commands in the text and its tables that can be run as they stand."""
    found = [" ".join(command.split()) for command in INLINE.findall(FENCED.sub("", read(page)))]
    return [command for command in dict.fromkeys(found) if " " in command[9:] and not PLACEHOLDER.search(command)]


def arguments(command: str, port: int) -> list[str]:
    """What a command of a page is run with: the server at this port in place of 8765, and an end in a moment."""
    here = re.sub(r"(--seconds|--duration) \d+", r"\1 0.3", command.replace("127.0.0.1:8765", f"127.0.0.1:{port}"))
    words = shlex.split(here, comments=True)[1:]
    return [*words, *_missing(BOUNDED.get(words[0], ()), words)]


def _missing(options: Iterable[str], words: list[str]) -> Iterable[str]:
    options = tuple(options)
    return () if options and options[0] in words else options
