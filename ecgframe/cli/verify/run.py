"""Verifying a recording, and telling what is proven and what is not."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ...foreign_text import printable
from ...plural import counted
from ...tools.verification import StreamProof, Verification, verify_frames
from ..console import Terminal, print_json
from ..inspect.run import byte_progress

if TYPE_CHECKING:
    from pathlib import Path

    from ...tools.verification import Fault

SHOWN: Final = 100
"""Faults that are shown as text; the rest are counted."""


def verify_file(path: Path, signers: list[bytes], *, as_json: bool) -> bool:
    """Verify a file, and print what was found. The arguments are those of the command.

    Returns:
        True if all of it is proven.

    Raises:
        OSError: the file cannot be read.
        MissingLibrary: the extra ``seal`` is not installed.
    """
    with path.open("rb") as file, byte_progress("verifying", path.stat().st_size) as report:
        found = verify_frames(file, signers, report=report)
    if as_json:
        print_json(_plain(found))
    else:
        _tell(found)
    return found.is_whole


def _tell(found: Verification) -> None:
    console = Terminal()
    for proof in found.streams:
        console.say(_proof_in_words(proof))
    if found.before:
        console.say(f"{counted(found.before, 'message')} of the first second are before the beginning of the file")
    for fault in found.faults[:SHOWN]:
        console.say(_fault_in_words(fault))
    hidden = max(len(found.faults) - SHOWN, 0) + found.more_faults
    if hidden:
        console.say(f"{counted(hidden, 'further fault')}, not shown; --json has up to 1,000")
    console.say(_verdict(found))


def _verdict(found: Verification) -> str:
    if found.is_whole:
        return "whole: nothing is changed and nothing is missing"
    if found.streams and all(fault.kind == "cut" for fault in found.faults) and not found.more_faults:
        return "proven up to the latest attestations, and open after them: whether the end was cut off is unknown"
    return "NOT proven: see above"


def _proof_in_words(proof: StreamProof) -> str:
    name = printable(proof.stream)
    total = proof.signed + proof.attested
    if not total:
        return f"{name}: none of {counted(proof.messages, 'message')} proven"
    signers = ", ".join(proof.signers)
    span = "" if proof.begins is None else f", from {_moment(proof.begins)} to {_moment(proof.ends)}"
    proven = f"{total:,} of {counted(proof.messages, 'message')} proven, by {signers}{span}"
    return f"{name}: {proven}; {counted(proof.attestations, 'attestation')}"


def _fault_in_words(fault: Fault) -> str:
    where = f"frame {fault.frame:,}, byte {fault.offset:,}"
    stream = "" if fault.stream is None else f"{printable(fault.stream)}: "
    return f"  {_moment(fault.time)}  {fault.kind}: {stream}{printable(fault.text)} ({where})"


def _moment(seconds: float | None) -> str:
    if seconds is None:
        return "time unknown"
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g} s"


def _plain(found: Verification) -> dict[str, Any]:
    faults = [asdict(fault) | {"at": _moment(fault.time)} for fault in found.faults]
    return {
        "whole": found.is_whole,
        "frames": found.frames,
        "before": found.before,
        "streams": [asdict(proof) for proof in found.streams],
        "faults": faults,
        "more_faults": found.more_faults,
    }
