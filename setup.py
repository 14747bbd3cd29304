"""Builds the compiled core; everything else about the package stands in pyproject.toml.

ECGFRAME_BUILD=plain builds no extension, for the wheel that runs anywhere, slower; the default is "compiled".

For measuring what the tests reach: ECGFRAME_COVERAGE=python leaves codec.py uncompiled, since what is compiled cannot
be measured; ECGFRAME_COVERAGE=cython compiles with line tracing, twenty times slower. CFLAGS=-DECGFRAME_PORTABLE_LOOPS
leaves out what only some processors can do, for testing on those what the others run.
"""

import os
import sys

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

BUILD = os.environ.get("ECGFRAME_BUILD", "compiled")
COVERAGE = os.environ.get("ECGFRAME_COVERAGE")
TRACED = COVERAGE == "cython"
SOURCES = ["_header.pyx", "_samples.pyx", "_pack.pyx", "_unpack.pyx"] + (["codec.py"] if COVERAGE != "python" else [])

extensions = [
    Extension(
        "ecgframe." + name.partition(".")[0],
        [f"ecgframe/{name}"],
        include_dirs=[numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_22_API_VERSION")]
        + ([("CYTHON_TRACE_NOGIL", "1")] if TRACED else []),
        extra_compile_args=[] if sys.platform == "win32" else ["-O1" if TRACED else "-O3"],
    )
    for name in SOURCES
]

if BUILD not in {"compiled", "plain"}:
    raise SystemExit(f"ECGFRAME_BUILD is compiled or plain, not {BUILD!r}")

setup(
    ext_modules=cythonize(
        extensions if BUILD == "compiled" else [],
        compiler_directives={
            "language_level": 3,
            "binding": True,
            "annotation_typing": False,  # annotations are for people and mypy; C types stand in the .pxd files
            "freethreading_compatible": True,
            "linetrace": TRACED,
        },
    )
)
