"""The house keeps its order: who may import whom, what an import costs, and what is offered."""

import ast
import importlib.metadata
import os
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from cases import each_case
from interpreter import python

import ecgframe

HOUSE = Path(ecgframe.__file__).parent
MODULES = {
    path.relative_to(HOUSE).with_suffix("").as_posix(): path
    for path in HOUSE.rglob("*.py")
    if "__pycache__" not in path.parts
}
COMPILED = {path.name: path for path in [*HOUSE.rglob("*.pyx"), *HOUSE.rglob("*.pxd")]}
CODEC_FLOORS = [
    "__init__",
    "_core",
    "_signatures",
    "codec",
    "compression",
    "errors",
    "exact",
    "libraries",
    "messages",
    "protocol",
    "samples",
    "seal",
    "signing",
]
UPPER_FLOORS = {
    "cli",
    "bridges",
    "records",
    "features",
    "frame_file",
    "audit_events",
    "foreign_text",
    "value_count",
    "background",
    "plural",
    "private_files",
    "recording",
    "server",
    "client",
    "session",
    "signal_fields",
    "other_signals",
    "testing",
    "tools",
    "metrics",
    "notebook",
    "data",
    "__main__",
}
LOADED_WHEN_ASKED = {
    "typer",
    "rich",
    "click",
    "wfdb",
    "edfio",
    "pydicom",
    "mne",
    "pandas",
    "mcap",
    "orjson",
    "matplotlib",
    "msgpack",
    "sleepecg",
    "scipy",
    "asyncio",
    "websockets",
    "starlette",
    "aiohttp",
    "picows",
    "redis",
    "nats",
    "prometheus_client",
    "opentelemetry",
    "textual",
    "pylsl",
    "cryptography",
    "backports",
}
SESSION_MAY_IMPORT = {
    "session",
    "_core",
    "codec",
    "compression",
    "errors",
    "messages",
    "protocol",
    "seal",
    "signing",
}
CLIENT_MAY_IMPORT = {
    "client",
    "session",
    "_core",
    "codec",
    "background",
    "errors",
    "exact",
    "audit_events",
    "foreign_text",
    "messages",
    "protocol",
    "libraries",
    "seal",
    "signing",
}
TOOLS_MAY_IMPORT = CLIENT_MAY_IMPORT | {
    "tools",
    "metrics",
    "compression",
    "exact",
    "frame_file",
    "records",
    "value_count",
    "private_files",
    "plural",
}
SERVER_MAY_IMPORT = CLIENT_MAY_IMPORT - {"client"} | {
    "server",
    "metrics",
    "records",
    "samples",
    "frame_file",
    "features",
    "exact",
    "other_signals",
    "plural",
}

BRIDGES_MAY_IMPORT = CLIENT_MAY_IMPORT | {"bridges", "frame_file", "recording", "samples", "signal_fields"}

PUBLIC = {
    "encode",
    "decode",
    "decode_all",
    "split",
    "pack",
    "physical",
    "unpack",
    "Codec",
    "Header",
    "Message",
    "Compression",
    "MessageType",
    "Flag",
    "ErrorCode",
    "ProtocolError",
    "InvalidProtocolVersion",
    "ChecksumMismatch",
    "MessageTooLarge",
    "DecompressionFailed",
    "InvalidMessageType",
    "InvalidDataFormat",
    "MissingRequiredFields",
    "AuthenticationFailed",
    "PermissionDenied",
    "RateLimitExceeded",
    "accelerated",
    "crc32",
}


def names_imported_in(tree, path):
    """Return the modules of this package that a file imports anywhere, by their names within the package."""
    package = path.parent.relative_to(HOUSE).parts
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*package[: len(package) - node.level + 1], *(node.module or "").split("."))
            inside = ".".join(part for part in base if part)
            found |= {inside} if node.module else {".".join((*base[:-1], alias.name)) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= (
                {node.module.removeprefix("ecgframe").lstrip(".")}
                if (node.module or "").split(".")[0] == "ecgframe"
                else set()
            )
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("ecgframe").lstrip(".")
                for alias in node.names
                if alias.name.split(".")[0] == "ecgframe"
            }
    return found


@cache
def imports_of(path):
    """The floors that a file imports."""
    return {name.split(".")[0] for name in names_imported_in(ast.parse(path.read_text()), path)}


class WithoutTypes(ast.NodeTransformer):
    """Leaves out what is imported for type checkers alone."""

    def visit_If(self, node):
        return node.orelse if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else node


@cache
def modules_run_by(path):
    """The files of this package that one imports when it runs, be it at once or in a function."""
    return modules_in(WithoutTypes().visit(ast.parse(path.read_text())), path)


@cache
def modules_named_by(path):
    """The same, with what it imports for type checkers alone."""
    return modules_in(ast.parse(path.read_text()), path)


def modules_in(tree, path):
    names = names_imported_in(tree, path)
    places = {name.replace(".", "/") for name in names}
    places |= {place.rpartition("/")[0] for place in places - MODULES.keys()}  # a name within a package
    places.discard(path.parent.relative_to(HOUSE).as_posix())  # an own part, which need not be Python
    return {place if place in MODULES else f"{place}/__init__" for place in places} & MODULES.keys()


def compiled_imports_of(path):
    """The floors that a Cython file imports, its own excepted."""
    root = r"\." * (len(path.parent.relative_to(HOUSE).parts) + 1)
    return set(re.findall(rf"^\s*(?:from|import|cimport)\s+(?:ecgframe\.|{root})(\w+)", path.read_text(), re.M))


def test_the_tables_stand_at_the_bottom():
    assert imports_of(MODULES["protocol"]) == set()


def test_the_errors_know_only_the_tables():
    assert imports_of(MODULES["errors"]) == {"protocol"}


@each_case("floor", [name for name in MODULES if name.split("/")[0] in CODEC_FLOORS])
def test_no_codec_floor_looks_up(floor):
    handed_out_when_asked = {"client"} if floor == "__init__" else set()
    assert imports_of(MODULES[floor]).isdisjoint(UPPER_FLOORS - handed_out_when_asked)


@pytest.mark.parametrize(("module", "floors"), [("seal", []), ("signing", ["messages"])])
def test_sealing_and_signing_know_no_frames(module, floors):
    found = set().union(*(imports_of(MODULES[name]) for name in modules_of(module)))
    assert found == {"_core", "errors", "libraries", "protocol", module, *floors}


def modules_of(floor):
    return [name for name in MODULES if name.split("/")[0] == floor]


def outside_imports_of(path):
    """The top-level modules of others that a file imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    return {name.split(".")[0] for name in names}


@each_case("module", modules_of("session"))
def test_a_session_has_neither_socket_nor_clock(module):
    assert imports_of(MODULES[module]) <= SESSION_MAY_IMPORT
    assert outside_imports_of(MODULES[module]).isdisjoint(
        {"asyncio", "socket", "time", "threading", "random", "logging"}
    )


@each_case("module", modules_of("server"))
def test_the_server_knows_neither_client_nor_command_line(module):
    assert imports_of(MODULES[module]) <= SERVER_MAY_IMPORT


@pytest.mark.parametrize("module", modules_of("client"))
def test_the_client_does_not_know_the_server(module):
    assert imports_of(MODULES[module]) <= CLIENT_MAY_IMPORT


@each_case("module", modules_of("tools"))
def test_the_tools_know_neither_server_nor_command_line(module):
    assert imports_of(MODULES[module]) <= TOOLS_MAY_IMPORT


@each_case("module", modules_of("testing"))
def test_the_testing_package_imports_the_server_only(module):
    assert imports_of(MODULES[module]) <= {"testing", "server", "background", "protocol"}


def test_only_tests_import_what_is_for_tests():
    for name, path in MODULES.items():
        if name.split("/")[0] != "testing":
            assert "testing" not in imports_of(path), name


@pytest.mark.parametrize("module", modules_of("bridges"))
def test_the_bridges_are_clients(module):
    assert imports_of(MODULES[module]) <= BRIDGES_MAY_IMPORT


def test_only_the_command_line_imports_the_bridges():
    for name, path in MODULES.items():
        if name.split("/")[0] not in ("cli", "bridges"):
            assert "bridges" not in imports_of(path), name


def test_the_metrics_know_nothing_of_the_protocol():
    assert imports_of(MODULES["metrics"]) <= {"_signatures"}


@each_case("kernel", sorted(COMPILED))
def test_no_kernel_looks_up(kernel):
    found = compiled_imports_of(COMPILED[kernel])
    assert found.isdisjoint(UPPER_FLOORS | {"codec", "messages", "compression"})


@pytest.mark.skipif(not COMPILED, reason="installed without its sources")
def test_one_kernel_is_built_against_numpy():
    against = re.compile(r"^\s*(cimport numpy|from numpy\S* cimport)", re.M)
    kernels = {path.name for path in COMPILED.values() if against.search(path.read_text())}
    assert kernels == {"ndarrays.pyx"}


@pytest.mark.parametrize("twin", [name for name in MODULES if name.startswith("_core/plain/")])
def test_no_plain_twin_of_a_kernel_looks_up(twin):
    names = names_imported_in(ast.parse(MODULES[twin].read_text()), MODULES[twin])
    assert {
        name
        for name in names
        if not name.startswith(
            ("_core.plain", "_core.path", "_core.form", "_core.readable", "_core.record_faults", "_core.with_entry")
        )
    } <= {
        "errors",
        "protocol",
    }


def test_the_recordings_know_nothing_of_the_protocol():
    for name, path in MODULES.items():
        if name.split("/")[0] == "records":
            assert imports_of(path) <= {"records", "libraries", "private_files", "data", "foreign_text"}, name


def test_only_the_command_line_imports_the_command_line():
    for name, path in MODULES.items():
        if name.split("/")[0] not in ("cli", "__main__"):
            assert "cli" not in imports_of(path), name


def test_imports_never_lead_back():
    try:
        TopologicalSorter({name: modules_named_by(path) for name, path in MODULES.items()}).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_every_module_is_known_to_this_test():
    known = set(CODEC_FLOORS) | UPPER_FLOORS
    assert {name.split("/")[0] for name in MODULES} <= known


def test_the_imports_are_really_found(tmp_path):
    assert {"codec", "errors", "protocol"} <= imports_of(MODULES["__init__"])
    assert "errors" in imports_of(MODULES["codec/decoder"])
    assert "compression/__init__" in modules_run_by(MODULES["codec/encoder"])
    assert "session/__init__" in modules_run_by(MODULES["server/connection"])
    codec = MODULES["codec/codec"]
    named, run = modules_named_by(codec), modules_run_by(codec)
    assert "_core/__init__" in run
    assert run <= named
    assert "client/connection" in modules_named_by(MODULES["client/subscription"]) - modules_run_by(
        MODULES["client/subscription"]
    )


@pytest.mark.skipif(not COMPILED, reason="installed without its sources")
def test_the_compiled_imports_are_really_found():
    assert any(compiled_imports_of(path) for path in COMPILED.values())


@pytest.mark.skipif(not COMPILED, reason="installed without its sources")
def test_the_plain_core_mirrors_the_compiled_one():
    twins = {Path(name).name for name in MODULES if name.startswith("_core/plain/")} - {"__init__"}
    assert twins <= {path.stem for path in COMPILED.values() if path.suffix == ".pyx"}


@pytest.mark.skipif(not COMPILED, reason="installed without its sources")
def test_a_bundler_finds_what_compiled_modules_import():
    """PyInstaller and its like read the imports of Python files, and cannot look into a compiled one."""
    compiled = {name for name, path in MODULES.items() if path.with_suffix(".pxd").exists()}
    assert compiled <= modules_run_by(MODULES["codec/__init__"])
    seen, waiting = set(compiled), ["__init__"]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(modules_run_by(MODULES[name]))
    kernels = [path for path in COMPILED.values() if path.suffix == ".pyx"]
    needed = set().union(*(modules_run_by(MODULES[name]) for name in compiled))
    for path in kernels:
        needed |= {name if name in MODULES else f"_core/{name}" for name in python_imports_of(path)}
    assert {"errors", "protocol", "messages/__init__", "_core/path"} <= needed
    assert needed <= seen
    named = names_imported_in(ast.parse(MODULES["_core/__init__"].read_text()), MODULES["_core/__init__"])
    assert {f"_core.{path.stem}" for path in kernels} <= named


def python_imports_of(path):
    """The Python modules of this package that a Cython file imports when it runs."""
    return set(re.findall(r"^\s*from\s+\.+(\w+)\s+import\b", path.read_text(), re.M))


def modules_after(statement):
    code = f"{statement}; import sys; print('\\n'.join(sys.modules))"
    done = python("-c", code)
    assert done.stderr == ""
    return {name.split(".")[0] for name in done.stdout.split()}, set(done.stdout.split())


def test_importing_the_package_loads_the_codec_floors_only():
    top, loaded = modules_after("import ecgframe")
    assert top.isdisjoint(LOADED_WHEN_ASKED - (set() if ecgframe.accelerated else {"msgpack"}))
    assert {name for name in loaded if name.startswith("ecgframe.") and name.split(".")[1] in UPPER_FLOORS} == set()
    assert "numpy" in top


@pytest.mark.skipif(os.environ.get("ECGFRAME_PLAIN") == "1", reason="the plain core was asked for")
def test_the_compiled_core_is_the_one_in_use():
    assert ecgframe.accelerated
    for name in ("_header", "pack", "unpack"):
        module = __import__(f"ecgframe._core.{name}", fromlist=["x"])
        assert Path(module.__file__).suffix in (".so", ".pyd")


def test_the_plain_core_runs_when_asked_for(monkeypatch):
    monkeypatch.setenv("ECGFRAME_PLAIN", "1")
    done = python("-c", "import ecgframe; print(ecgframe.accelerated, ecgframe.codec.codec.__file__)")
    assert re.fullmatch(r"False .*codec\.py\n", done.stdout)


def test_the_public_names_are_those_of_the_list():
    assert set(ecgframe.__all__) == PUBLIC
    assert list(ecgframe.__all__) == sorted(ecgframe.__all__)
    for name in PUBLIC:
        assert getattr(ecgframe, name) is not None


def test_the_client_is_offered_and_loaded_when_asked_for():
    pytest.importorskip("websockets")
    done = python("-c", "import ecgframe, sys; print('asyncio' in sys.modules, ecgframe.connect.__name__)")
    assert done.stdout == "False connect\n"
    with pytest.raises(AttributeError, match="no attribute 'conect'"):
        ecgframe.conect  # noqa: B018


def test_the_version_is_the_installed_packages_own():
    assert ecgframe.__version__ == importlib.metadata.version("ecgframe")
    done = python("-c", "import ecgframe, sys; print('importlib.metadata' in sys.modules)")
    assert done.stdout == "False\n", "every import would pay for reading it"


def test_a_star_import_gives_what_is_offered():
    names = {}
    exec("from ecgframe import *", names)
    assert names.keys() >= PUBLIC


def test_the_package_is_typed():
    assert (HOUSE / "py.typed").exists()


# --- words ---

ROOT = Path(__file__).parents[1]
RETIRED_NAMES = {
    r"\bOutlet\b": "ConnectionWriter",
    r"\b[Ss]witchboard\b": "Subscriptions",
    r"\b[Mm]ailbox(es)?\b": "MessageQueue",
    r"\b(class|interface) Letter\b": "QueuedItem",
    r"\bCrowd\.[A-Z]+\b": "Pressure",
    r"\b(class|interface|type) Places?\b": "StreamCursor, StreamPosition",
    r"\b(class|interface) (Conversation|Line)\b": "Connection, ReconnectingConnection",
    r"\b[Tt]ally\b": "Counters",
    r"\bTraffic\b": "ServerStats",
    r"\b(class|interface) Tap\b": "WebSocketReassembler",
    r"\b[Ss]ightings?\b": "Observation",
    r"\b(class|interface) Patience\b": "Backoff",
    r"(?<![\w-])wall(?= ?[=:(),])": "wall_clock_us",
    r"\bdef (held|finished)\b": "hold, finish",
    r"\bdef passes\b": "record_direct_send",
    r"\b(isHad|is_had)\b": "wasReceived",
    r"#?\b_?heed(s|Answer|Unasked|_answer|_unasked)?\b": "handle",
    r"\bunheeded\b": "obsolete",
    r"\bLetGo\b": "FrameOfEndedStream",
    r"\btools[./](tap|tcp|exported|examination|abbreviation|readings)\b": "capture, frame_analysis, ...",
    r"\bconformance[./](judging|conversation|talker|running)\b": "checks, transcript, peer, runner",
    r"\brecords[./]seam\b": "loop_point",
    r"\b_(vectors|turns|numbers|sample_types|bigendian|lending)\.p(xd|yx)\b": "simd, dtypes, ...",
    r"\bBREATH\b": "MAX_BURST",
    r"\b_desertion\b": "_wait_all_closed",
    r"\b_abortion\b": "_abort_timer",
    r"\bdef octet\b": "as_byte",
    r"\bleave_room_for\b": "check_depth",
    r"\b_manners\b": "_queue_policy",
    r"\bDrafts?\b|\bDRAFTS?\b": "PendingFrame",
    r"\b_(decrypted|inflated|restored)\(": "_decrypt, _inflate, _restore",
    r"\b_rules\b": "messages.rules",
    r"\b_breathe\b": "_yield_to_others",
    r"\b_deserted\b": "_all_closed",
    r"\bis_owing\b": "has_too_many_answers",
    r"\bInboxRoom\b": "InboxesLimit",
}
RETIRED_PHRASES = [
    "costs itself",
    "vouch",
    "which this protocol does not have",
    "is to find, and it does not, passes",
    "has left the processor's caches",
    "runs no text as code",
    "deflating it not to be tried",
    "is refused something",
    "answers PING no more",
    "Check 2 of a receiver that knows these versions alone",
    "stands in no frame of others",
    "finds out why nothing arrives",
    "not a word for",
    "spoken here",
    "is let go",
    "was had",
]
# A docstring or a comment that begins in the middle of a sentence; it should begin with "Return whether" or "True if".
FRAGMENT = re.compile(r'(?:"""|/\*\*|^ *(?:#|//|\*)|^ {8,}) *(?:Whether|Tells? whether) ', re.M)
READ = {".py", ".pyx", ".pxd", ".pyi", ".h", ".ts", ".html", ".md", ".lua", ".toml", ".mjs"}
# The changelog has old names, this file has retired ones, and the tests of sessions have a class Conversation.
NOT_READ = {"CHANGELOG.md", "test_house.py", "conversation.py"}
# There, a wall is the page that shows all beds; elsewhere it was the time of the clock on it.
PAGE_WITH_ALL_BEDS = re.compile(r"/client/monitor/|/tests/browser/")
FOLDERS = ("ecgframe", "client/src", "client/monitor", "client/test", "docs", "tests", "bench", "examples", "release")


def texts():
    """Yield the paths and the texts of sources, tests and pages, in Python, TypeScript and all other languages."""
    paths = [*ROOT.glob("*.md"), *ROOT.glob("*.py"), *ROOT.glob("client/*.*")]
    for folder in FOLDERS:
        paths += (ROOT / folder).rglob("*")
    for path in paths:
        if path.suffix in READ and path.name not in NOT_READ and path.is_file():
            yield path, path.read_text(encoding="utf-8")


@pytest.mark.slow
def test_retired_words_are_gone():
    # Where no word begins, none of them is tried; where one does, only those with its first letter.
    any_name = re.compile(r"\b(?:" + "|".join(name.removeprefix(r"\b") for name in RETIRED_NAMES) + ")")
    found = []
    for path, text in texts():
        for match in any_name.finditer(text):
            at = match.start()
            if match[0] == "wall" and PAGE_WITH_ALL_BEDS.search(path.as_posix()):
                continue
            instead = next(new for name, new in RETIRED_NAMES.items() if re.compile(name).match(text, at))
            found.append(f"{path}:{text.count(chr(10), 0, at) + 1}: {match[0]!r} is called {instead} now")
        found += [f"{path}: a fragment, {match[0].strip()!r}" for match in FRAGMENT.finditer(text)]
        # A phrase may contain a line break and the mark of a comment.
        flowing = re.sub(r"\s*\n\s*(?:#|\*|//)?\s*", " ", text)
        found += [f"{path}: {phrase!r}" for phrase in RETIRED_PHRASES if phrase in flowing]
    assert not found, "\n".join(found)


def test_the_texts_are_really_read():
    names = {path.relative_to(ROOT).as_posix() for path, _ in texts()}
    if (ROOT / "client" / "src").exists():
        assert "client/src/session/client-session.ts" in names
    assert {"tests/conftest.py", "README.md", "docs/protocol.md"} <= names
