"""``ecgframe decode``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..options import Force
from ..plain_errors import plain_errors


class RecordForm(StrEnum):
    """File formats of a decoded recording."""

    CSV = "csv"
    NPZ = "npz"


def decode(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A file of frames, as written by **encode**; **-** is standard input."),
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.npz|csv|edf|bdf|hea",
            help="Write the recording to this file; **-** is standard output. Without this option, print a summary.",
        ),
    ] = None,
    format: Annotated[
        RecordForm, typer.Option("--format", help="With **-o -**: the format on standard output.")
    ] = RecordForm.CSV,
    skip_broken: Annotated[
        bool,
        typer.Option(
            "--skip-broken",
            help="Skip the broken frames of a damaged file; their samples become missing samples.",
        ),
    ] = False,
    max_bytes: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="BYTES",
            help="Memory limit for the samples. Default: nine times the size of the file, at least 80 MiB. "
            "The limit of inflated bytes is three times as much. With this option, CSV of any length is written.",
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Read a file of frames, check every frame, and write the recording or a summary.

    NPZ is for NumPy: `np.load(file)["signal"]` has the shape [leads, samples]. CSV has one row per sample, with a
    column for the time and one for each lead. Both keep the samples exactly. EDF+ (.edf), BDF+ (.bdf) and WFDB (.hea,
    with its .dat and .atr) are for medical software; if a format cannot keep all digits, a remark says what was
    rounded, and by how much. Alerts in the file become annotations.
    """
    with plain_errors():
        from .run import decode_frames  # noqa: PLC0415 - only for commands that read recordings

        is_whole = decode_frames(
            file, output, form=format.value, skip_broken=skip_broken, max_bytes=max_bytes, overwrite=force
        )
    if not is_whole:
        raise typer.Exit(3)
