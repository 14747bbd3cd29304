"""The README's first command, typed in the unpacked source archive, where there is a compiler and little else."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from .live import serve_and_watch
from .pythons import Python
from .running import Failed, run

COMMANDS = re.compile(r"^<!-- commands -->\n```sh\n(.+)$", re.MULTILINE)
# What a C compiler consists of, beside what Python says that it was built with. Neither make nor git, and no g++.
COMPILER = ("cc", "gcc", "as", "ld")
ASKED_FOR_COMPILER = "import sysconfig; print(sysconfig.get_config_var('CC'), sysconfig.get_config_var('LDSHARED'))"
ASKED_FOR_CORE = "import ecgframe; print(ecgframe.accelerated)"


def first_command(readme: str) -> str:
    """The first command that the README tells to type."""
    found = COMMANDS.search(readme)
    if found is None or not found[1].endswith(".venv/bin/ecgframe serve"):
        raise Failed("the README does not begin with a command that serves")
    return found[1]


def try_first_command(python: Python, sources: Path, folder: Path) -> list[str]:
    """Type it, with this interpreter as ``python3``; what was seen.

    Args:
        sources: the unpacked archive, in which it is typed.
        folder: for the programs that are on the PATH; it must not be there yet.

    Raises:
        Failed: it does not install, installs no compiled core, or serves nothing.
    """
    environment = {"PATH": str(_only_a_compiler(python.path, folder))}
    typed = f"{first_command((sources / 'README.md').read_text(encoding='utf-8'))} --port 0"
    programs = sources / ".venv" / "bin"
    replaced = re.sub(r"(?<=&& )(?=\S+ serve)", "exec ", typed)  # so that what ends the shell ends the server
    seen = serve_and_watch(["/bin/sh", "-c", replaced], programs / "ecgframe", sources, environment, seconds=600)
    if run(programs / "python", "-I", "-c", ASKED_FOR_CORE, cwd=folder, environment=environment).strip() != "True":
        raise Failed(f"{shlex.quote(typed)} installed no compiled core")
    return ["the README's first command, with a compiler and the Python headers alone", seen]


def _only_a_compiler(python: Path, folder: Path) -> Path:
    """A folder of links to this interpreter and to the programs of a compiler."""
    folder.mkdir()
    (folder / "python3").symlink_to(python)
    words = run(python, "-I", "-c", ASKED_FOR_COMPILER, cwd=folder).split()
    for name in {*COMPILER, *(word for word in words if re.fullmatch(r"[\w.-]*(?:cc|clang)[\d.-]*", word))}:
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    return folder
