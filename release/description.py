"""Turns the README into the description of the package on PyPI: every link becomes absolute. ``setup.py`` calls it."""

from __future__ import annotations

import re
from pathlib import Path

CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
IN_MARKDOWN = re.compile(r"(?<=\]\()(?P<target>[^\s)]+)(?=[\s)])|^\[[^\]\n]+\]: (?P<defined>\S+)$", re.MULTILINE)
IN_HTML = re.compile(r"""(?<=\b)(?:src|href|srcset)=(?P<quote>["'])(?P<target>[^"']+)(?P=quote)""")
ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
PICTURES = (".png", ".svg", ".gif", ".jpg", ".webp")


def with_absolute_links(readme: str, home: str, version: str, root: Path) -> str:
    """Return the README with links that work on any page.

    Links lead to the files of the release's tag, so that the page of an old release describes that release. Anchors
    of the README itself lead to the README, since headings have other anchors on PyPI.

    Args:
        readme: text in Markdown. Code is left as it is.
        home: address of the repository, without a slash at the end.
        version: version of the release, without "v".
        root: folder of the repository, in which the linked files are.

    Raises:
        ValueError: a link leads to a file that does not exist, or out of the repository.
    """

    def of(found: re.Match[str]) -> str:
        name = "defined" if found.groupdict().get("defined") else "target"
        target = found[name]
        start, end = (place - found.start() for place in found.span(name))
        return found[0][:start] + _absolute(target, home, version, root) + found[0][end:]

    parts, end = [], 0
    for code in CODE.finditer(readme):
        parts += [readme[end : code.start()], code[0]]
        end = code.end()
    parts.append(readme[end:])
    parts[::2] = [IN_HTML.sub(of, IN_MARKDOWN.sub(of, text)) for text in parts[::2]]
    return "".join(parts)


def _absolute(target: str, home: str, version: str, root: Path) -> str:
    if ABSOLUTE.match(target) or target.startswith("//"):
        return target
    path, hash_sign, anchor = target.partition("#")
    path = path or "README.md"
    file = (root / path).resolve()
    if not file.is_relative_to(root.resolve()) or (not file.exists() and not path.startswith("client/")):
        raise ValueError(f"README.md links to {target}, which does not exist")
    kind = "tree" if file.is_dir() or path.endswith("/") else "raw" if path.endswith(PICTURES) else "blob"
    return f"{home}/{kind}/v{version}/{path.rstrip('/')}{hash_sign}{anchor}"
