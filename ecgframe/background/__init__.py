"""Threads for work that would block an event loop, and the order of its results."""
