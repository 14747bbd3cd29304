"""For the tests of programs that use ecgframe: a live server, a proxy that simulates a bad network, a virtual clock.

``ecgframe.testing.fixtures`` has pytest fixtures of the first two.
"""

from .proxy import CuttingProxy
from .server import LiveServer
from .virtual_time import VirtualTimeLoop, run_virtually, spend

__all__ = ["CuttingProxy", "LiveServer", "VirtualTimeLoop", "run_virtually", "spend"]
