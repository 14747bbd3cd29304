"""The TypeScript client's tables are the ones of protocol.py."""

import subprocess
import sys
from pathlib import Path

import pytest

CLIENT = Path(__file__).parents[2] / "client"
GENERATOR = CLIENT / "generate-tables.py"

pytestmark = pytest.mark.skipif(not GENERATOR.exists(), reason="the TypeScript client is not part of an sdist")


def generator(*arguments, script=GENERATOR):
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


def test_the_committed_tables_are_what_the_generator_writes():
    done = generator("--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_table_that_was_edited_is_found_out(tmp_path):
    script = tmp_path / GENERATOR.name
    script.write_text(GENERATOR.read_text())
    (tmp_path / "src").mkdir()
    committed = (CLIENT / "src" / "protocol.ts").read_text()
    (tmp_path / "src" / "protocol.ts").write_text(committed.replace("PING: 0x11", "PING: 0x13"))
    done = generator("--check", script=script)
    assert done.returncode == 1
    assert "generate-tables.py" in done.stderr
    assert generator(script=script).returncode == 0
    assert (tmp_path / "src" / "protocol.ts").read_text() == committed
