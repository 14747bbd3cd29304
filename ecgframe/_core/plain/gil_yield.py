"""Threads that work for an event loop in another one. The plain twin of ``gil_yield.pyx``."""

__all__ = ["work_in_background"]


def work_in_background() -> None:
    """Have this thread work for an event loop in another one. Python code lets other threads in by itself."""
