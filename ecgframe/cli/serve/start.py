"""Reading what the options of ``ecgframe serve`` name, and serving it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ...records.read import CsvOptions
from ..logs import log_to_stderr
from ..plain_errors import plain_errors
from ..recordings import recording_of
from ..standard_streams import STDIN, name_of
from ..waiting import telling
from .files import load_files
from .options import ServeOptions
from .run import serve_live

if TYPE_CHECKING:
    from .worker import Worker


def start(options: ServeOptions, worker: Worker | None = None) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        options: those of the command.
        worker: which one of several processes that share the port this is; None if it is the only one.

    Raises:
        typer.BadParameter: an option does not fit the others, or a file is not of its form.
        typer.Exit: something else was wrong, and was printed.
    """
    number = None if worker is None else worker.number
    with plain_errors(), log_to_stderr(options.log_level, options.log_json, number), ExitStack() as files:
        csv = CsvOptions(
            decimal=options.decimal,
            time_column=options.time_column,
            units=options.units,
            gain=options.gain,
            baseline=options.baseline,
        )
        on_error = None
        loaded = load_files(options)
        if options.error_log is not None or options.audit_log is not None:
            from .logs import open_logs  # noqa: PLC0415 - only with these options

            played = [*([] if options.record is None else [options.record]), *options.also]
            error_log = options.error_log
            if error_log is not None and number is not None:
                error_log = log_of(error_log, number)
            on_error = open_logs(files, played, error_log, options.audit_log, payloads=options.error_payloads)
        source = "the recording" if options.record is None else name_of(options.record, STDIN)
        with telling(f"reading {source}"):
            recording = recording_of(
                options.record, options.sampling_rate, options.leads, csv, options.stream, every_unit=True
            )
            others = [recording_of(path, None, None, every_unit=True) for path in options.also]
        serve_live(options, recording, others, loaded, on_error, worker)


def log_of(path: Path, worker: int) -> Path:
    """The log of errors of one of several workers: they would rotate a common file under each other's hands."""
    return path.with_name(f"{path.stem}-{worker}{path.suffix}")
