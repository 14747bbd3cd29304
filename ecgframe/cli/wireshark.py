"""``ecgframe wireshark``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from pathlib import Path
from typing import Annotated

import typer

from .options import Force
from .overwriting import refuse_to_overwrite
from .own_version import own_version
from .plain_errors import plain_errors
from .standard_streams import STREAM

EPILOG = """\
**ecgframe wireshark --install** installs it for this user; then restart Wireshark.

**ecgframe wireshark --output ecgframe.lua** writes it to a file.

**tshark -X lua_script:ecgframe.lua -r session.pcap -Y 'ecgframe.data.stream == "ecg/1"'** loads it for one run.

**tshark -X lua_script:ecgframe.lua -r session.pcap -Y ecgframe.error** lists the frames that a receiver would reject.
"""


def wireshark(
    *,
    install: Annotated[
        bool, typer.Option("--install", help="Install it among this user's plugins; an older version is replaced.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="With --install: install it in this folder instead."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it to this file. Default: standard output (**-**)."),
    ] = None,
    force: Force = False,
) -> None:
    """Write or install a dissector for Wireshark and tshark, in Lua.

    The dissector names every field, decompresses payloads, and marks frames that a receiver would reject, with the
    error code. It decodes WebSocket messages on port 8765, those of the subprotocol ecgframe, and others that look
    like frames.
    """
    from ..private_files import whole_file  # noqa: PLC0415 - only for this command
    from ..tools.dissector import FILE_NAME, dissector, plugin_folder  # noqa: PLC0415 - as above
    from .console import say  # noqa: PLC0415 - as above

    if folder is not None and not install:
        raise typer.BadParameter("requires --install", param_hint="--folder")
    text = dissector(own_version())
    with plain_errors():
        if install:
            place = folder or plugin_folder()
            place.mkdir(parents=True, exist_ok=True)
            output, force = place / FILE_NAME, True
        if output is None or output == STREAM:
            typer.echo(text, nl=False)
            return
        refuse_to_overwrite(output, force)
        with whole_file(output, private=False) as file:
            file.write(text.encode())
        next_step = "restart Wireshark" if install else f"tshark -X lua_script:{output} -r session.pcap"
        say(str(output), f"Next: {next_step}")
