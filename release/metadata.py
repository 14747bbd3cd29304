"""Checks what PyPI shows of a file: its metadata, its description as PyPI renders it, and its bill of materials."""

from __future__ import annotations

import email
import json
import re
import tarfile
import zipfile
from pathlib import Path

from .parts import BILL, PARTS
from .running import Failed, run

RENDERED = """
import sys
from readme_renderer import markdown
page = markdown.render(open(sys.argv[1], encoding="utf-8").read())
if page is None:
    sys.exit("PyPI cannot render the description")
sys.stdout.reconfigure(encoding="utf-8")
print(page)
"""
VALIDATED = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
said = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1], encoding="utf-8").read())
if said is not None:
    sys.exit(f"the bill of materials is not CycloneDX: {said}")
"""
LINK = re.compile(r"""\s(?:href|src|srcset)=["']([^"']*)["']""")


def check_archive(archive: Path, tools: Path, work: Path) -> list[str]:
    """Check the source archive; return remarks.

    Raises:
        Failed: a tool has found something, or a link of the description is relative.
    """
    run(tools / "twine", "check", "--strict", archive, cwd=archive.parent)
    run(tools / "pyroma", "--min=10", archive, cwd=archive.parent)
    with tarfile.open(archive) as packed:
        [about] = [name for name in packed.getnames() if re.fullmatch(r"[^/]+/PKG-INFO", name)]
        metadata = packed.extractfile(about)
        assert metadata is not None
        links = check_description(metadata.read().decode(), tools, work)
    return ["pyroma 10/10", f"{links} links of the description are absolute"]


def check_wheel(wheel: Path, tools: Path, work: Path) -> list[str]:
    """Check a wheel; return remarks.

    Raises:
        Failed: a tool has found something, a link is relative, or the bill of materials is missing or wrong.
    """
    run(tools / "twine", "check", "--strict", wheel, cwd=wheel.parent)
    run(tools / "check-wheel-contents", wheel, cwd=wheel.parent)
    with zipfile.ZipFile(wheel) as packed:
        [about] = [name for name in packed.namelist() if name.endswith(".dist-info/METADATA")]
        folder = about.removesuffix("METADATA")
        check_description(packed.read(about).decode(), tools, work)
        if f"{folder}sboms/{BILL}" not in packed.namelist():
            raise Failed(f"{wheel.name} has no bill of materials")
        bill = work / f"{wheel.stem}.cdx.json"
        bill.write_bytes(packed.read(f"{folder}sboms/{BILL}"))
        texts = [name for name in packed.namelist() if name.startswith(f"{folder}licenses/")]
    run(tools / "python", "-I", "-c", VALIDATED, bill, cwd=work)
    found = {part["name"]: part["version"] for part in json.loads(bill.read_text(encoding="utf-8"))["components"]}
    wanted = {part.name for part in PARTS if not part.is_compiled or not wheel.name.endswith("-none-any.whl")}
    if found.keys() != wanted or not all(found.values()):
        raise Failed(f"the bill of {wheel.name} has {found}, not {', '.join(sorted(wanted))}")
    for part in PARTS:
        if part.notice.startswith("licenses/") and not any(text.endswith(part.notice) for text in texts):
            raise Failed(f"{wheel.name} lacks {part.notice}")
    return [f"parts of others: {', '.join(f'{name} {version}' for name, version in found.items())}"]


def check_description(metadata: str, tools: Path, work: Path) -> int:
    """Render the description as PyPI does; return the number of its links.

    Raises:
        Failed: PyPI would show it as plain text, or a link is relative.
    """
    message = email.message_from_string(metadata)
    if message["Description-Content-Type"] != "text/markdown":
        raise Failed(f"the description is {message['Description-Content-Type']}, not text/markdown")
    text = work / "description.md"
    text.write_text(str(message.get_payload()), encoding="utf-8")
    page = run(tools / "python", "-I", "-c", RENDERED, text, cwd=work)
    within = {f"#{name}" for name in re.findall(r"""\s(?:id|name)=["']([^"']*)["']""", page)}  # those of the headings
    links = [link for link in LINK.findall(page) if link not in within]
    if relative := [link for link in links if not link.startswith(("https://", "http://"))]:
        raise Failed(f"relative links in the description: {', '.join(relative)}")
    if not links or "<table>" not in page or "<h2" not in page:
        raise Failed("the description is not rendered as Markdown")
    return len(links)
