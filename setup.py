"""Builds the compiled core; everything else about the package stands in pyproject.toml.

ECGFRAME_COVERAGE=1 builds it with line tracing, so that tests measure the Cython too (slow, for measuring only).
"""

import os
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

TRACED = os.environ.get("ECGFRAME_COVERAGE") == "1"

extensions = [
    Extension(
        f"ecgframe.{name}",
        [f"ecgframe/{name}.pyx"],
        define_macros=[("CYTHON_TRACE_NOGIL", "1")] if TRACED else [],
        extra_compile_args=[] if sys.platform == "win32" else ["-O1" if TRACED else "-O3"],
    )
    for name in ("_header", "_samples", "_pack", "_unpack")
]

setup(
    ext_modules=cythonize(
        extensions,
        compiler_directives={
            "language_level": 3,
            "binding": True,
            "freethreading_compatible": True,
            "linetrace": TRACED,
        },
    )
)
