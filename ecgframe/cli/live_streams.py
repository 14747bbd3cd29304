"""What the commands that follow live streams share: their arguments, and what they say if they receive nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ..protocol import MAX_STREAM_NAME
from ..tools import ToolError
from .options import positive
from .places import server_address

if TYPE_CHECKING:
    from ssl import SSLContext

Server = Annotated[
    str,
    typer.Argument(
        callback=server_address, metavar="URL", help="URL of the server, such as **ws://localhost:8765/ws**."
    ),
]
StreamNames = Annotated[
    list[str], typer.Argument(metavar="STREAM", help="Names of the streams, such as **ecg/1 ecg/2**.")
]
Duration = Annotated[
    float | None,
    typer.Option(callback=positive, metavar="SECONDS", help="Stop after this time; by default, Ctrl-C stops it."),
]
SummaryAsJson = Annotated[bool, typer.Option("--json", help="Print the summary at the end as a JSON object.")]


def check_stream_names(streams: Sequence[str]) -> None:
    """Check the names of streams on the command line.

    Raises:
        typer.BadParameter: one is empty or too long.
    """
    if any(not 0 < len(stream) <= MAX_STREAM_NAME for stream in streams):
        raise typer.BadParameter(
            f"the name of a stream must have 1 to {MAX_STREAM_NAME} characters", param_hint="STREAM"
        )


@contextmanager
def connecting_to(url: str) -> Iterator[None]:
    """Explain errors of the connection in one line. Others, such as those of files, are raised as they are.

    Raises:
        ConnectingError: the connection failed.
    """
    from ..tools.connecting import ConnectingError, why_not  # noqa: PLC0415 - only for commands that connect

    try:
        yield
    except (BrokenPipeError, ToolError, typer.BadParameter):
        raise
    except Exception as error:
        if not getattr(error, "filename", None) and (why := why_not(url, error)) is not None:
            raise ConnectingError(why) from error
        raise


def refuse_silence(
    silent: Sequence[str], url: str, headers: list[tuple[str, str]], trusted: SSLContext | None, *, so: str = ""
) -> None:
    """Explain that nothing was received of some streams; do nothing if there are none.

    Args:
        silent: names of the streams.
        url: URL of the server.
        headers: HTTP headers for it.
        trusted: TLS context; None to trust the system's certificate authorities.
        so: what follows from the silence of streams that exist.

    Raises:
        ConnectingError: nothing was received of a stream.
    """
    from ..tools.connecting import ConnectingError, no_such_stream, stream_names  # noqa: PLC0415 - as above

    if not silent:
        return
    known = stream_names(url, headers, trusted)
    if known is not None and set(silent) <= set(known):
        raise ConnectingError(f"nothing was received of {', '.join(map(repr, silent))}{so}")
    raise ConnectingError(no_such_stream(silent, known, url))
