"""The virtual clock of ``ecgframe.testing``."""

from ecgframe.testing.virtual_time import VirtualTimeLoop, run_virtually, spend

__all__ = ["VirtualTimeLoop", "run_virtually", "spend"]
