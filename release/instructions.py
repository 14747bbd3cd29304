"""Checks that a wheel for x86-64 contains only baseline instructions, except in kernels that are selected at run time.

An unsupported instruction would end the process with SIGILL, but only on old processors and never on the machine that
builds the wheel. So the compiled modules are disassembled and checked function by function.
"""

from __future__ import annotations

import re
from pathlib import Path

from .running import Failed, run, tool

TARGET = r'__attribute__\s*\(\(\s*target\s*\(\s*"[^"]+"\s*\)\s*\)\)'
QUESTIONS = ("__builtin_cpu_supports", "getauxval")
"""Functions that query the features of the processor: on x86-64, and on ARM."""

FUNCTION = re.compile(r"^[0-9a-f]+ <(?P<name>[^>]+)>:$")
INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\s+(?:(?:rep|repz|repnz|lock|data16|notrack|bnd)\s+)*(?P<mnemonic>\w+)")
# Instructions beyond SSE2. Without tzcnt, which processors that lack it execute as bsf.
BEYOND = re.compile(
    r"v(?!err|erw|mcall|mlaunch)\w+|k(?:add|and|mov|not|or|shift|test|unpck|xor|xnor)\w+"  # AVX and later
    r"|addsubp[ds]|h(?:add|sub)p[ds]|lddqu|mov(?:ddup|s[hl]dup)"  # SSE3
    r"|pabs[bwd]|palignr|ph(?:add|sub)\w+|pmaddubsw|pmulhrsw|pshufb|psign[bwd]"  # SSSE3
    r"|p?blend\w+|dpp[ds]|extractps|insertps|mpsadbw|packusdw|pcmp(?:eqq|gtq|[ei]str[im])|pextr[bdq]|pinsr[bdq]"  # SSE4
    r"|phminposuw|p(?:max|min)(?:sb|sd|ud|uw)|pmov[sz]x\w+|pmul(?:dq|ld)|ptest|round[ps][sd]|movntdqa"
    r"|crc32\w*|popcnt\w*|movbe\w*|aes\w+|pclmul\w+|sha(?:1|256)\w+"
    r"|andn[lq]?|bextr[lq]?|bls\w+|bzhi\w*|lzcnt\w*|mulx\w*|pdep\w*|pext[lq]?|(?:rorx|sarx|shlx|shrx)\w*|adcx\w*|adox\w*"
)


def check(core: Path, sources: Path) -> list[str]:
    """Check a compiled module, and return its functions that only some processors can execute.

    Args:
        core: the module, with its symbols.
        sources: the folder of its sources, which mark the functions that are selected at run time.

    Raises:
        Failed: a function that is not selected at run time contains such an instruction.
    """
    special = beyond_baseline(run(tool("objdump", "binutils"), "-d", "--no-show-raw-insn", core, cwd=core.parent))
    chosen = chosen_at_run_time(sources)
    careless = {name: found for name, found in special.items() if name.partition(".")[0] not in chosen}
    if careless:
        told = "; ".join(f"{name}: {', '.join(sorted(found))}" for name, found in careless.items())
        raise Failed(f"{core.name} would end with an illegal instruction on older processors: {told}")
    return sorted({name.partition(".")[0] for name in special})


def beyond_baseline(disassembly: str) -> dict[str, set[str]]:
    """Return the instructions beyond the baseline, by function."""
    found: dict[str, set[str]] = {}
    name = "?"
    for line in disassembly.splitlines():
        if begins := FUNCTION.match(line):
            name = begins["name"]
        elif (instruction := INSTRUCTION.match(line)) and BEYOND.fullmatch(instruction["mnemonic"]):
            found.setdefault(name, set()).add(instruction["mnemonic"])
    return found


def chosen_at_run_time(sources: Path) -> set[str]:
    """Return the functions that are compiled for more than the baseline.

    Raises:
        Failed: a file has such a function, but does not query the processor.
    """
    found: set[str] = set()
    for path in sorted(path for path in sources.iterdir() if path.suffix in {".pyx", ".pxd", ".h"}):
        text = path.read_text(encoding="utf-8")
        macros = re.findall(rf"#define\s+(\w+)\s+{TARGET}", text)
        marks = "|".join([TARGET, *map(re.escape, macros)])
        names = set(re.findall(rf"^\s*(?:{marks})\s*\n?\s*(?:static|inline|\s)*\w[\w\s*]*?\b(\w+)\(", text, re.M))
        if names and not any(question in text for question in QUESTIONS):
            raise Failed(f"{path.name} compiles {', '.join(sorted(names))} for some processors and asks none")
        found |= names
    return found
