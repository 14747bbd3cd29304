"""``python -m bench``, from the repository's root: the whole comparison, written to bench/RESULTS.md."""

import argparse
from pathlib import Path

from . import core
from .measuring import Effort
from .report import run

parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
parser.add_argument(
    "--output", type=Path, default=Path(__file__).parent, metavar="FOLDER", help="where RESULTS.md and results/ go"
)
parser.add_argument("--rounds", type=int, default=Effort().rounds, metavar="N", help="slices of each candidate")
core.add_option(parser)
arguments = parser.parse_args()
core.check(parser, plain=arguments.plain)
print(run(arguments.output, Effort(rounds=arguments.rounds)))
