"""``python -m bench``, from the repository's root: the whole comparison, written to bench/RESULTS.md."""

import argparse
from pathlib import Path

from .measuring import Effort
from .report import run

parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
parser.add_argument(
    "--output", type=Path, default=Path(__file__).parent, metavar="FOLDER", help="where RESULTS.md and results/ go"
)
parser.add_argument("--rounds", type=int, default=Effort().rounds, metavar="N", help="slices of each candidate")
arguments = parser.parse_args()
print(run(arguments.output, Effort(rounds=arguments.rounds)))
