"""README.md: its Python runs, and its commands install what exists."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^<!-- commands -->$(.*?)^<!-- end of commands -->$", re.MULTILINE | re.DOTALL)
EXTRAS = re.compile(r"(?:\.|\becgframe)\[([\w,\s-]+)\]")
GROUPS = re.compile(r"--group ([\w-]+)")


def test_the_python_runs(tmp_path, monkeypatch):
    """Every block, from the first to the last; each sees the names of those before it."""
    monkeypatch.chdir(tmp_path)
    blocks = list(BLOCK.finditer(README))
    assert blocks
    names = {"__name__": "readme"}
    for block in blocks:
        lines_above = README.count("\n", 0, block.start(1))
        exec(compile("\n" * lines_above + block[1], "README.md", "exec"), names)


def test_the_commands_name_extras_that_exist():
    [commands] = COMMANDS.findall(README)
    named = {name.strip() for names in EXTRAS.findall(commands) for name in names.split(",")}
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert named
    assert named <= pyproject["project"]["optional-dependencies"].keys()
    groups = set(GROUPS.findall(commands))
    assert groups
    assert groups <= pyproject["dependency-groups"].keys()


def test_dependency_groups_of_developers_are_not_published():
    """Nobody who installs the package shall be offered its tests; a dependency group stays in the source tree."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras, groups = pyproject["project"]["optional-dependencies"], pyproject["dependency-groups"]
    assert not extras.keys() & groups.keys()
    assert {"test", "browser", "bench", "dev"} <= groups.keys()
    listed = " ".join(one for wanted in extras.values() for one in wanted)
    assert not re.search(r"\b(pytest|hypothesis|mypy|ruff|playwright|pyarrow)\b", listed)
