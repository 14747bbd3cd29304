"""Instructions of some processors only are found, and allowed in functions that are selected at run time."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from release_package import load

instructions = load("instructions")

PLAIN = """
0000000000001000 <write_row>:
    1000:\tpush   %rbp
    1001:\tpandn  %xmm0,%xmm1
    1005:\trep movsq %ds:(%rsi),%es:(%rdi)
    1008:\trep bsf %rax,%rax
    100c:\tpextrw $0x0,%xmm0,%eax
    1010:\tpinsrw $0x0,%eax,%xmm0
    1014:\tcvttsd2si %xmm0,%rax
    1018:\tverr   %ax
    101c:\tbt     %rax,%rdx
"""


def test_the_baseline_is_let_through():
    assert instructions.beyond_baseline(PLAIN) == {}


@pytest.mark.parametrize(
    "instruction",
    [
        "vmovdqu64 (%rdi),%zmm0",
        "vpaddd %ymm0,%ymm1,%ymm2",
        "kmovq  %rax,%k1",
        "pshufb %xmm0,%xmm1",
        "pinsrd $0x1,%eax,%xmm0",
        "roundsd $0x1,%xmm0,%xmm1",
        "popcnt %rax,%rax",
        "crc32q %rax,%rdx",
        "pclmulqdq $0x0,%xmm0,%xmm1",
        "lock movbe %eax,(%rdi)",
        "shlx   %rax,%rdx,%rcx",
        "andn   %rax,%rdx,%rcx",
        "lzcnt  %rax,%rax",
        "mulx   %rax,%rdx,%rcx",
    ],
)
def test_instructions_beyond_the_baseline_are_found_with_their_function(instruction):
    text = f"{PLAIN}\n0000000000001020 <kernel.constprop.0>:\n    1020:\t{instruction}\n"
    assert list(instructions.beyond_baseline(text)) == ["kernel.constprop.0"]


SOURCE = """
    #define ECGFRAME_WIDE __attribute__((target("avx512f,avx512bw")))
    static int fast(void) { return __builtin_cpu_supports("avx512f"); }

    ECGFRAME_WIDE
    static Py_ssize_t write_wide(uint8_t* out) { return 0; }

    __attribute__((target("ssse3")))
    static inline void write_narrow(uint8_t* out) {}

    static int write_any(uint8_t* out) { return 1; }
"""


def test_the_kernels_chosen_at_run_time_are_known_by_their_attribute(tmp_path):
    (tmp_path / "kernels.pyx").write_text(SOURCE)
    assert instructions.chosen_at_run_time(tmp_path) == {"write_wide", "write_narrow"}


def test_a_kernel_that_asks_no_processor_is_refused(tmp_path):
    (tmp_path / "kernels.pxd").write_text(SOURCE.replace("__builtin_cpu_supports", "sure"))
    with pytest.raises(instructions.Failed, match=r"kernels\.pxd compiles write_narrow, write_wide .* asks none"):
        instructions.chosen_at_run_time(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(
    not (sys.platform == "linux" and shutil.which("gcc") and shutil.which("objdump")), reason="needs gcc and objdump"
)
@pytest.mark.parametrize("name", ["write_wide", "write_other"])
def test_compiled_code_is_disassembled(tmp_path, name):
    if "x86_64" not in subprocess.run(["gcc", "-dumpmachine"], capture_output=True, text=True, check=True).stdout:
        pytest.skip("not a compiler for x86-64")
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "kernels.pyx").write_text(SOURCE)
    (tmp_path / "core.c").write_text(f"""
        #include <immintrin.h>
        __attribute__((target("avx2"))) void {name}(char* p) {{
            _mm256_storeu_si256((void*)p, _mm256_shuffle_epi8(_mm256_loadu_si256((void*)p), _mm256_set1_epi8(3)));
        }}
    """)
    core = Path(tmp_path, "core.so")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", core, tmp_path / "core.c"], check=True)
    if name == "write_wide":
        assert instructions.check(core, sources) == ["write_wide"]
    else:
        with pytest.raises(instructions.Failed, match="illegal instruction on older processors: write_other: v"):
            instructions.check(core, sources)
