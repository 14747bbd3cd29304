"""docs/history.md: its program prints what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "history.md").read_text(encoding="utf-8")


def test_the_program_keeps_the_past_over_a_restart():
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    (told,) = re.findall(r"```text\n(.*?)```", PAGE, re.S)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == (told, 0), done.stderr
