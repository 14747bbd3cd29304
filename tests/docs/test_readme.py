"""README.md: its Python runs, and its commands install what exists."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^<!-- commands -->$(.*?)^<!-- end of commands -->$", re.MULTILINE | re.DOTALL)
EXTRAS = re.compile(r"(?:\.|\becgframe)\[([\w,\s-]+)\]")


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
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert named
    assert named <= project["optional-dependencies"].keys()
