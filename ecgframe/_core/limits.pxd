"""The bounds that C needs when it is compiled. ``_header`` holds them against protocol.py when it is imported."""

cdef enum:
    SIZE_V1 = 11                 # bytes of a header, of V2 as well
    SIZE_V3 = 19
    DEEPEST = 64                 # arrays and maps inside one another
    MOST_DIMENSIONS = 32         # of an ndarray
