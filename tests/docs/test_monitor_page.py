"""docs/monitor.md names the keys that the page has."""

import re
from pathlib import Path

from ecgframe.server.monitor_files import monitor_files

PAGE = (Path(__file__).parents[2] / "docs" / "monitor.md").read_text()


def test_the_keys_are_those_of_the_page():
    script = monitor_files()["/monitor.js"].body.decode()
    section = PAGE.split("## Keys")[1].split("\n## ")[0]
    told = [row.group(2) for row in re.finditer(r"^\| (.+?) \| (.+?) \|$", section, re.M)][2:]
    assert len(told) == len(re.findall(r'does:"[^"]+"', script)) == 19
    for does in told:
        assert f'does:"{does}"' in script
