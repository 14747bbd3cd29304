"""Threads that work for an event loop in another one. The plain twin of ``gil_yield.pyx``."""

__all__ = ["work_in_background"]


def work_in_background() -> None:
    """Do nothing: the interpreter switches threads between bytecodes anyway."""
