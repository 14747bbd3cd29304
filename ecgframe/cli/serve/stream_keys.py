"""Loading the keys of the streams that are sealed."""

from __future__ import annotations

from pathlib import Path

import typer

from ...server.key_file import KeyFile, is_private
from ...signing import SigningKey
from ..console import say


def load_keys(path: Path) -> KeyFile:
    """Load a file of stream keys, and warn if others can read it.

    Raises:
        typer.BadParameter: the file is not of this form. The text has no secret.
        OSError: it cannot be read.
    """
    try:
        keys = KeyFile(path)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--stream-keys") from None
    if not keys.is_private:
        say(f"{path} can be read by others than its owner: chmod 600 keeps the keys secret", err=True)
    return keys


def load_signer(path: Path) -> SigningKey:
    """Load the key that signs, and warn if others can read it.

    Raises:
        typer.BadParameter: the file is not of this form. The text has nothing of it.
        OSError: it cannot be read.
    """
    try:
        key = SigningKey.from_file(path)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--signing-key") from None
    if not is_private(path):
        say(f"{path} can be read by others than its owner: chmod 600 keeps the signing key secret", err=True)
    return key
