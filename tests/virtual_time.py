"""The virtual clock of ``ecgframe.testing``, also beside releases without it, which ``old_release.py`` runs."""

from pathlib import Path
from runpy import run_path

try:
    from ecgframe.testing.virtual_time import VirtualTimeLoop, run_virtually, spend
except ModuleNotFoundError:
    _found = run_path(str(Path(__file__).parents[1] / "ecgframe" / "testing" / "virtual_time.py"))
    VirtualTimeLoop, run_virtually, spend = (_found[name] for name in ("VirtualTimeLoop", "run_virtually", "spend"))

__all__ = ["VirtualTimeLoop", "run_virtually", "spend"]
