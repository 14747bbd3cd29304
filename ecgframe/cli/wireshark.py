"""``ecgframe wireshark``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .terminal import Force, own_version, plain_errors, refuse_to_overwrite, whole_file

EPILOG = """\
**ecgframe wireshark --install** puts it where Wireshark looks; start Wireshark anew then.

**ecgframe wireshark --output ecgframe.lua** writes it for somebody else.

**tshark -X lua_script:ecgframe.lua -r session.pcap -Y 'ecgframe.data.stream == "ecg/1"'** uses it once.

**tshark -X lua_script:ecgframe.lua -r session.pcap -Y ecgframe.error** lists what a receiver would refuse.
"""


def wireshark(
    *,
    install: Annotated[
        bool, typer.Option("--install", help="Put it among this user's plugins; an older one is replaced.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="With --install: another folder than that of this user's Lua plugins."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there. Without it, to stdout.")
    ] = None,
    force: Force = False,
) -> None:
    """Give Wireshark and tshark a dissector of the frames, in Lua, made from this package's tables.

    It shows every field by name, inflates payloads, and marks what a receiver would refuse, with the code that it
    answers. It takes the WebSocket messages at port 8765, those of the subprotocol ecgframe, and any others that look
    like frames.
    """
    from ..tools.dissector import FILE_NAME, dissector, plugin_folder  # noqa: PLC0415 - for those who want it

    if folder is not None and not install:
        raise typer.BadParameter("says where to --install", param_hint="--folder")
    text = dissector(own_version())
    with plain_errors():
        if install:
            place = folder or plugin_folder()
            place.mkdir(parents=True, exist_ok=True)
            output, force = place / FILE_NAME, True
        if output is None:
            typer.echo(text, nl=False)
            return
        refuse_to_overwrite(output, force)
        with whole_file(output) as file:
            file.write(text.encode())
        next_step = "start Wireshark anew" if install else f"tshark -X lua_script:{output} -r session.pcap"
        Console(highlight=False).print(f"{output}\nNext: {next_step}", markup=False, soft_wrap=True)
