"""The kernels of the CRC-32 as a C program: under the sanitizers here, and emulated on processors of other kinds.

Debian and Ubuntu have the compilers and the emulator in gcc-aarch64-linux-gnu, gcc-s390x-linux-gnu and
qemu-user-static.
"""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

import ecgframe

pytestmark = pytest.mark.slow  # they compile

PROGRAM = Path(__file__).with_name("crc32_kernels.c")
KERNELS = Path(ecgframe.__file__).parent / "_core"
WATCHED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def runs(tmp_path, compiler, *options, emulator=()):
    """The names of the kernels that ran, and were right; skips where the machine lacks a tool or a library."""
    for tool in (compiler, *emulator[:1]):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    nothing, program = tmp_path / "nothing.c", str(tmp_path / "kernels")
    nothing.write_text("int main(void) { return 0; }\n")
    if subprocess.run([compiler, *options, nothing, "-o", program], capture_output=True, check=False).returncode:
        pytest.skip(f"{compiler} has no libraries for {' '.join(options)}")
    warnings = ("-std=c11", "-Wall", "-Wextra", "-Werror")
    subprocess.run([compiler, *warnings, *options, "-I", KERNELS, PROGRAM, "-o", program], check=True)
    run = subprocess.run([*emulator, program], capture_output=True, text=True, check=False, timeout=300)
    assert (run.stderr, run.returncode) == ("", 0)
    return run.stdout.split()


@pytest.mark.skipif(platform.system() != "Linux", reason="names gcc's sanitizers as Linux has them")
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_under_the_sanitizers(tmp_path, compiler):
    found = runs(tmp_path, compiler, *WATCHED)
    assert found[-1] == "slices"
    if ecgframe.accelerated:
        from ecgframe._core import checksum as _checksum

        assert set(_checksum.kernel_names()) <= set(found)  # an older compiler may have left some out of the core


@pytest.mark.parametrize("cpu", ["max", "cortex-a53"])
def test_on_arm(tmp_path, cpu):
    emulator = ["qemu-aarch64-static", "-cpu", cpu]
    assert runs(tmp_path, "aarch64-linux-gnu-gcc", "-static", "-O3", emulator=emulator) == ["pmull", "crc", "slices"]


@pytest.mark.parametrize(
    ("cpu", "kernels"),
    [("Nehalem", ["slices"]), ("Westmere", ["pclmul", "slices"])],
)
def test_on_an_older_x86(tmp_path, cpu, kernels):
    """The choice as well: what the processor lacks is not asked of it."""
    if platform.machine() not in {"x86_64", "AMD64"}:
        pytest.skip("no compiler for x86-64")
    assert runs(tmp_path, "gcc", "-static", "-O3", emulator=["qemu-x86_64-static", "-cpu", cpu]) == kernels


def test_in_the_other_byte_order(tmp_path):
    assert runs(tmp_path, "s390x-linux-gnu-gcc", "-static", "-O3", emulator=["qemu-s390x-static"]) == ["slices"]
