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
        "ecgframe." + name.partition(".")[0],
        [f"ecgframe/{name}"],
        define_macros=[("CYTHON_TRACE_NOGIL", "1")] if TRACED else [],
        extra_compile_args=[] if sys.platform == "win32" else ["-O1" if TRACED else "-O3"],
    )
    for name in ("_header.pyx", "_samples.pyx", "_pack.pyx", "_unpack.pyx", "codec.py")
]

setup(
    ext_modules=cythonize(
        extensions,
        compiler_directives={
            "language_level": 3,
            "binding": True,
            "annotation_typing": False,  # annotations are for people and mypy; C types stand in the .pxd files
            "freethreading_compatible": True,
            "linetrace": TRACED,
        },
    )
)
