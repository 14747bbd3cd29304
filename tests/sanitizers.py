"""The compiled core under AddressSanitizer and UndefinedBehaviorSanitizer: the codec's tests, and mutated frames.

    python tests/sanitizers.py [--brief] [--keep FOLDER]

Needs gcc and what the tests need; builds a core of its own, beside the installed one. The first access outside a
buffer, use after a free, sum that overflows, shift or alignment that C does not define ends it with 1 and a trace.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parent
# Each alone takes longer, under the sanitizers, than the rest together, and reads no byte otherwise.
LEFT_OUT = ("tests/codec/test_bombs.py", "tests/codec/test_real_ecg.py")
BRIEF = ("tests/codec", "tests/fuzzing", "tests/messages/test_message_reading.py", "tests/messages/test_records.py")
WHOLE = ("tests/codec", "tests/twins", "tests/messages", "tests/session", "tests/fuzzing")


def build(folder):
    """Put a package with a watched core into the folder."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    environment = os.environ | {"ECGFRAME_BUILD": "sanitized"}
    subprocess.run([*pip, "--target", folder, TESTS.parent], env=environment, check=True)


def environment_for(folder):
    """Return the environment for a Python with the core and its memory under sanitizers."""
    found = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (folder, TESTS))),
        "LD_PRELOAD": str(Path(found.stdout.strip()).resolve(strict=True)),
        "PYTHONMALLOC": "malloc",  # else a read behind a bytes object would be one inside Python's arena
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "HYPOTHESIS_PROFILE": "brief",
    }


def run(environment, *arguments):
    """Run Python so, and end where it fails; seconds are told."""
    begin = time.monotonic()
    print("\n$ python", *arguments, flush=True)
    code = subprocess.run([sys.executable, "-P", *arguments], cwd=TESTS.parent, env=environment, check=False).returncode
    print(f"{time.monotonic() - begin:.0f} s", flush=True)
    if code:
        sys.exit(f"ended with {code}" + (" (a sanitizer's word stands above)" if code < 0 else ""))


def check_that_it_watches(environment):
    """A sanitizer that is not there finds nothing: the core must be watched, and a read too far must be seen."""

    def answer(code):
        python = [sys.executable, "-P", "-c", code]
        return subprocess.run(python, env=environment, capture_output=True, text=True, check=False)

    core = Path(answer("import ecgframe._core.unpack as core; print(core.__file__)").stdout.strip())
    marks = [b"__asan_report_load", b"__ubsan_handle_add_overflow_abort"]
    if not core.is_file() or not all(mark in core.read_bytes() for mark in marks):
        sys.exit(f"not the watched core: {core}")
    seen = answer("import ctypes; ctypes.string_at(ctypes.create_string_buffer(b'x' * 5000), 6000)")
    if seen.returncode == 0 or "heap-buffer-overflow" not in seen.stderr:
        sys.exit(f"a read behind a buffer was not seen: {seen.stderr}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brief", action="store_true", help="less of everything, in about two minutes")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="build there, or run what was built there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ecgframe-sanitized-") as passing:
        folder = options.keep or Path(passing)
        if not (folder / "ecgframe").is_dir():
            build(folder)
        environment = environment_for(folder)
        check_that_it_watches(environment)
        left_out = [f"--ignore={path}" for path in LEFT_OUT]
        paths = BRIEF if options.brief else WHOLE
        run(environment, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", *left_out, *paths)
        run(environment, "tests/fuzz.py", "--any-memory", "--frames", "200000" if options.brief else "5000000")
        run(environment, "tests/twin_fuzz.py", "--frames", "20000" if options.brief else "500000")


if __name__ == "__main__":
    main()
