"""The process that the fuzzer runs in: ``python child.py TARGET [libFuzzer's options and folders]``. See run.py."""

import os
import sys

import atheris

OF_TOOLS = ("inspect", "captures", "conversations", "sources", "sizes")  # not imported: what is, is not instrumented

if sys.argv[1] in OF_TOOLS:
    with atheris.instrument_imports(include=["ecgframe.tools"]):
        from fuzzing.targets import TARGETS
else:
    from fuzzing.targets import TARGETS

if sys.argv[1] == "twins":  # the plain core is Python: what of it has been reached guides the fuzzer, too
    from fuzzing import targets

    with atheris.instrument_imports(include=["ecgframe.as_plain"]):
        targets.plain_package()

# To merge, the engine starts itself again by its first argument, which must be a program.
atheris.Setup([os.environ.get("FUZZED_AS", sys.argv[0]), *sys.argv[2:]], TARGETS[sys.argv[1]])
atheris.Fuzz()
