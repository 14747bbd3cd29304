"""``ecgframe verify``."""

# No ``from __future__ import annotations`` here: typer reads the annotations, as objects.

from pathlib import Path
from typing import Annotated

import typer

from ..options import Signers, public_keys
from ..plain_errors import plain_errors

EPILOG = """\
**ecgframe record ws://127.0.0.1:8765/ws ecg/1 -o bed-7.frames --signatures** makes such a recording.

**ecgframe verify bed-7.frames --signer 29acbae141bccaf0b22e1a94d34d0bc7361e526d0bfe12c89794bc9322966dd7** verifies it.

Exit code: 0 if the recording is proven from its first to its last message, 3 if it is not, 1 if it cannot be read.
"""


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The recording: a file of frames.", show_default=False)],
    *,
    signer: Signers = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Prove that a recording with signatures is complete and untouched, or report where it is not.

    Each fault is reported with the second in which it is: messages that were changed, are missing or stand in another
    order, and what nobody known has signed. A recording that was ended while its signer went on has no last
    attestation: its end is reported as open, as that of one that was cut. Before its first message nothing is proven.
    """
    signers = public_keys(signer)
    if not signers:
        raise typer.BadParameter("name the signers by their public keys", param_hint="--signer")
    with plain_errors():
        from .run import verify_file  # noqa: PLC0415 - loads the tools

        is_whole = verify_file(file, signers, as_json=as_json)
    if not is_whole:
        raise typer.Exit(3)
