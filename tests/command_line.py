"""Running the commands inside the test's own process."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from recordings import optional

for name in ("typer", "rich", "orjson"):
    optional(name)

from typer import testing  # noqa: E402 - after the skip

from ecgframe.cli.app import app  # noqa: E402

# typer builds all the commands again for each call, which takes longer than most of the calls
testing._get_command = cache(testing._get_command)

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass
class Ran:
    """The output of a command, without colours, and its exit code."""

    output: str
    stdout: str
    code: int


def run(*arguments: object, code: int | None = 0, columns: int = 200, stdin: bytes = b"") -> Ran:
    """Run a command, which must end with that exit code (None: any), and never with a traceback."""
    # some CI services force colours, and with them progress bars
    environment = {"COLUMNS": str(columns), "FORCE_COLOR": None, "NO_COLOR": "1"}
    result = testing.CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, env=environment)
    assert code is None or result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return Ran(ESCAPES.sub("", result.output), ESCAPES.sub("", result.stdout), result.exit_code)
