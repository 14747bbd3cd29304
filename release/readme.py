"""Runs the first command of the README in the unpacked source archive, with little more than a compiler."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from .live import serve_and_watch
from .pythons import Python
from .running import Failed, run

COMMANDS = re.compile(r"^<!-- commands -->\n```sh\n(.+)$", re.MULTILINE)
# The programs of a C compiler, in addition to those that Python was built with. No make, git or g++.
COMPILER = ("cc", "gcc", "as", "ld")
ASKED_FOR_COMPILER = "import sysconfig; print(sysconfig.get_config_var('CC'), sysconfig.get_config_var('LDSHARED'))"
ASKED_FOR_CORE = "import ecgframe; print(ecgframe.accelerated)"


def first_command(readme: str) -> str:
    """Return the first command of the README."""
    found = COMMANDS.search(readme)
    if found is None or not found[1].endswith(".venv/bin/ecgframe serve"):
        raise Failed("the README does not begin with a command that serves")
    return found[1]


def try_first_command(python: Python, sources: Path, folder: Path) -> list[str]:
    """Run the command with this interpreter as ``python3``; return remarks on the result.

    Args:
        python: the interpreter.
        sources: the unpacked archive, in which the command is run.
        folder: folder for links to the programs on the PATH; must not exist.

    Raises:
        Failed: the installation fails, has no compiled core, or does not serve.
    """
    environment = {"PATH": str(_only_a_compiler(python.path, folder))}
    typed = f"{first_command((sources / 'README.md').read_text(encoding='utf-8'))} --port 0"
    programs = sources / ".venv" / "bin"
    replaced = re.sub(r"(?<=&& )(?=\S+ serve)", "exec ", typed)  # so that ending the shell ends the server
    seen = serve_and_watch(["/bin/sh", "-c", replaced], programs / "ecgframe", sources, environment, seconds=600)
    if run(programs / "python", "-I", "-c", ASKED_FOR_CORE, cwd=folder, environment=environment).strip() != "True":
        raise Failed(f"{shlex.quote(typed)} installed no compiled core")
    return ["the README's first command, with a compiler and the Python headers alone", seen]


def _only_a_compiler(python: Path, folder: Path) -> Path:
    """Create a folder of links to the interpreter and to the programs of a compiler."""
    folder.mkdir()
    (folder / "python3").symlink_to(python)
    words = run(python, "-I", "-c", ASKED_FOR_COMPILER, cwd=folder).split()
    for name in {*COMPILER, *(word for word in words if re.fullmatch(r"[\w.-]*(?:cc|clang)[\d.-]*", word))}:
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    return folder
