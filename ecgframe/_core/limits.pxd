"""Limits that C needs at compile time. ``_header`` compares them to protocol.py when it is imported."""

cdef enum:
    SIZE_V1 = 11                 # size of the header in V1 and V2
    SIZE_V3 = 19
    SIZE_V4 = 32
    DEEPEST = 64                 # levels of nested arrays and maps
    MOST_DIMENSIONS = 32         # of an ndarray
