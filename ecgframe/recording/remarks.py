"""Remarks in the summaries of what was recorded or passed on."""

from __future__ import annotations

from typing import Final

KEPT_REMARKS: Final = 100
"""Maximum number of remarks in a summary."""


class HasRemarks:
    """A summary with remarks: a sentence on each thing that was not kept as it was received."""

    __slots__ = ()

    remarks: list[str]

    def remark(self, text: str) -> None:
        """Add a remark, unless it is there or there are ``KEPT_REMARKS``."""
        if text not in self.remarks and len(self.remarks) < KEPT_REMARKS:
            self.remarks.append(text)
