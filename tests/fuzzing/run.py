"""Coverage-guided fuzzing of the compiled core, under AddressSanitizer and UndefinedBehaviorSanitizer.

    python tests/fuzzing/run.py [TARGET ...] [--minutes M] [--update] [--keep FOLDER]

Needs clang, atheris (Linux, CPython 3.12 to 3.14) and what the tests need. Starts from the kept corpus, the vectors and
the generated frames; goes through the targets in turn, each its share of the time. Prints executions, coverage and
findings. Ends with 1 when there is a finding; the input stands in hex, and its line belongs into the corpus.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzzing import corpus, seeds, targets

ROOT = Path(__file__).parents[2]
LONGEST = 4096


def clang():
    """The newest clang that is installed."""
    found = [path for folder in os.get_exec_path() for path in Path(folder).glob("clang*")]
    names = {path.name: path for path in found if re.fullmatch(r"clang(-\d+)?", path.name)}
    if not names:
        sys.exit("clang is not installed; it comes with the packages clang and libclang-rt-dev")
    return max(names.values(), key=lambda path: int(path.name.partition("-")[2] or 0))


def build(folder):
    """Put a package into the folder whose core counts where it has been, and is watched."""
    compiler = str(clang())
    environment = os.environ | {
        "ECGFRAME_BUILD": "sanitized",
        "CC": compiler,
        "LDSHARED": f"{compiler} -shared",
        "CFLAGS": "-fsanitize=fuzzer-no-link",
    }
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--no-cache-dir", "--target", folder, ROOT], env=environment, check=True)


def environment_for(folder):
    """Return the environment for a Python with that core and the runtime of the sanitizers, for the fuzzer."""
    import atheris

    return os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (folder, ROOT / "tests"))),
        "LD_PRELOAD": str(Path(atheris.path(), "asan_with_fuzzer.so")),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    }


def fuzz(name, seconds, environment, work):
    """Run one target; what it said, and whether it ended well."""
    grown = work / name
    grown.mkdir(parents=True, exist_ok=True)
    for data in [*corpus.read(name), *seeds.of(name)]:
        (grown / corpus.name_of(data)).write_bytes(data)
    options = [
        f"-max_total_time={seconds:.0f}",
        f"-max_len={LONGEST}",
        "-rss_limit_mb=4096",
        "-timeout=20",
        "-print_final_stats=1",
        f"-artifact_prefix={work}/finding-{name}-",
    ]
    child = [*child_of(name), *options, grown]
    log = work / f"{name}.log"
    with log.open("wb") as file:
        code = subprocess.run(child, env=environment, cwd=work, stdout=file, stderr=file, check=False).returncode
    return log.read_text(errors="replace"), code


def summary(name, said, code):
    """One line of figures."""
    covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", said)
    executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", said)
    executed = int(executed[1]) if executed else max(map(int, re.findall(r"^#(\d+)", said, re.M)), default=0)
    edges, features, kept = map(int, covered[-1]) if covered else (0, 0, 0)
    first = int(covered[0][0]) if covered else 0
    end = "well" if code == 0 else f"with {code}"
    reached = f"{edges:,} edges ({first:,} at the start), {features:,} features, {kept:,} inputs kept"
    return f"{name:11} {executed:>12,} executions, {reached}, ended {end}"


def smallest_of(name, environment, work):
    """The fewest inputs of the grown corpus that reach every edge that it reaches."""
    merged, again = work / f"{name}-merged", work / f"{name}-again"
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir()
    again.write_text("#!/bin/sh\n" + shlex.join([*child_of(name), ""]).removesuffix("''") + '"$@"\n')
    again.chmod(0o755)
    merge = [*child_of(name), "-set_cover_merge=1", "-use_counters=0", merged, work / name]
    environment = environment | {"FUZZED_AS": str(again)}
    done = subprocess.run(merge, env=environment, cwd=work, capture_output=True, text=True, check=False)
    kept = [path.read_bytes() for path in merged.iterdir()]
    if done.returncode or not kept:
        sys.exit(f"{name}: merging ended with {done.returncode}: {done.stderr[-2000:]}")
    return kept


def child_of(name):
    """The command that fuzzes a target; options follow."""
    return [sys.executable, "-P", str(Path(__file__).with_name("child.py")), name]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "target", nargs="*", choices=[*targets.TARGETS, []], help="one of these; all of them if none is named"
    )
    parser.add_argument("--minutes", type=float, default=5, metavar="M", help="for all of them together (5)")
    parser.add_argument(
        "--update", action="store_true", help="keep, of all that was found, the least that reaches as far"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work there, and go on with what is there")
    options = parser.parse_args()
    names = options.target or list(targets.TARGETS)
    with tempfile.TemporaryDirectory(prefix="ecgframe-fuzzing-") as passing:
        work = (options.keep or Path(passing)).resolve()
        if not (work / "core").is_dir():
            build(work / "core")
        environment = environment_for(work / "core")
        failed = False
        for name in names:
            begin = time.monotonic()
            said, code = fuzz(name, options.minutes * 60 / len(names), environment, work)
            print(summary(name, said, code), f"in {time.monotonic() - begin:.0f} s", flush=True)
            if code:
                failed = True
                print(said[-6000:], flush=True)
                for path in work.glob(f"finding-{name}-*"):
                    print(f"{path.name}: {path.read_bytes().hex()}")
            elif options.update:
                corpus.write(name, smallest_of(name, environment, work))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
