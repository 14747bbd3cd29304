"""The logs that a server writes to files: of errors, and of who did what."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from ...records.files import files_of
from ...tools.audit_log import AuditLog
from ...tools.error_log import ErrorLog
from ..overwriting import refuse_to_overwrite


def open_logs(
    files: ExitStack, records: Sequence[Path], error_log: Path | None, audit_log: Path | None, *, payloads: bool
) -> ErrorLog | None:
    """Open the logs that are wanted, until ``files`` is left.

    Args:
        files: closes them.
        records: the recordings that are played, which must not be written to.
        error_log: file for the errors; None for no such log.
        audit_log: file for the audit log; None for no such log.
        payloads: whether the errors are logged with the first bytes of each payload.

    Returns:
        The hook of the log of errors.

    Raises:
        OSError: a file cannot be written.
        typer.BadParameter: a file belongs to the recording.
    """
    for log in (error_log, audit_log):
        if log is not None:
            refuse_to_overwrite(log, True, [file for record in records for file in files_of(record)])
    if audit_log is not None:
        files.enter_context(AuditLog(audit_log))
    return None if error_log is None else files.enter_context(ErrorLog(error_log, payload=payloads))
