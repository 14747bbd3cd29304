"""The ``ecgframe`` command and its subcommands."""

from typing import Annotated

import typer

from .audit import EPILOG as AUDIT_EXAMPLES
from .audit import audit
from .bridge import bridge
from .compare import compare
from .conformance import EPILOG as CONFORMANCE_EXAMPLES
from .conformance import conformance
from .decode import decode
from .encode import encode
from .errors import EPILOG as ERRORS_EXAMPLES
from .errors import errors
from .gated_group import GatedGroup
from .inspect import EPILOG as INSPECT_EXAMPLES
from .inspect import inspect
from .keys import keys
from .own_version import own_version
from .proxy import EPILOG as PROXY_EXAMPLES
from .proxy import proxy
from .record import EPILOG as RECORD_EXAMPLES
from .record import record
from .replay import EPILOG as REPLAY_EXAMPLES
from .replay import replay
from .serve import serve
from .sizes import EPILOG as SIZES_EXAMPLES
from .sizes import sizes
from .top import EPILOG as TOP_EXAMPLES
from .top import top
from .verify import EPILOG as VERIFY_EXAMPLES
from .verify import verify
from .watch import watch
from .wireshark import EPILOG as WIRESHARK_EXAMPLES
from .wireshark import wireshark

ABOUT = (
    "Encode, decode and stream ECG recordings in binary frames, compare them with JSON, and diagnose missing or "
    "broken data."
)

EXAMPLES = """\
**ecgframe compare** compares frames with JSON, on the ECG that ships with the package.

**ecgframe encode 100.hea -o 100.frames** writes a PhysioNet record as frames of one second.

**ecgframe decode 100.frames -o 100.csv** converts the frames to CSV.

**ecgframe serve** streams the ECG that ships with the package.

**ecgframe watch ws://127.0.0.1:8765/ws ecg/1** follows that stream.

**ecgframe record ws://127.0.0.1:8765/ws ecg/1 -o bed-7.edf** records it.

**ecgframe inspect session.pcap** shows the frames of a network capture.
"""

app = typer.Typer(
    cls=GatedGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
RECORDINGS, LIVE, WIRE = "Recordings", "Live streams", "Diagnosis"

app.command(rich_help_panel=RECORDINGS)(compare)
app.command(rich_help_panel=RECORDINGS)(encode)
app.command(rich_help_panel=RECORDINGS)(decode)
app.command(rich_help_panel=RECORDINGS, epilog=VERIFY_EXAMPLES)(verify)
app.command(rich_help_panel=LIVE)(serve)
app.command(rich_help_panel=LIVE)(watch)
app.command(rich_help_panel=LIVE, epilog=RECORD_EXAMPLES)(record)
app.command(rich_help_panel=LIVE, epilog=TOP_EXAMPLES)(top)
app.add_typer(keys, name="keys", rich_help_panel=LIVE)
app.add_typer(bridge, name="bridge", rich_help_panel=LIVE)
app.command(rich_help_panel=WIRE, epilog=INSPECT_EXAMPLES)(inspect)
app.command(rich_help_panel=WIRE, epilog=SIZES_EXAMPLES)(sizes)
app.command(rich_help_panel=WIRE, epilog=WIRESHARK_EXAMPLES)(wireshark)
app.command(rich_help_panel=WIRE, epilog=PROXY_EXAMPLES)(proxy)
app.command(rich_help_panel=WIRE, epilog=REPLAY_EXAMPLES)(replay)
app.command(rich_help_panel=WIRE, epilog=ERRORS_EXAMPLES)(errors)
app.command(rich_help_panel=WIRE, epilog=AUDIT_EXAMPLES)(audit)
app.command(rich_help_panel=WIRE, epilog=CONFORMANCE_EXAMPLES)(conformance)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ecgframe {own_version()}")
        raise typer.Exit


@app.callback(help=ABOUT, epilog=EXAMPLES)
def root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Define the options that precede a command."""
