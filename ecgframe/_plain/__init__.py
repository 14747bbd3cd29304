"""The core without a compiler: what the ``.pyx`` files do, in Python, slower.

For installations that have no compiled extension. Every object packs to the same bytes, every payload reads to the same
value or fails the same check; the tests hold the two side by side.
"""
