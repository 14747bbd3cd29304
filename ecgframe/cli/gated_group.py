"""The group of commands."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

from ..foreign_text import printable_lines


class GatedGroup(TyperGroup):
    """The group of commands. Escapes usage errors, which may quote file names with control characters."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; make the message of a usage error printable."""
        try:
            return super().invoke(ctx)
        except Exception as error:  # click's UsageError; newer versions of typer vendor it under another name
            if hasattr(error, "format_message") and isinstance(message := getattr(error, "message", None), str):
                error.message = printable_lines(message)  # type: ignore[attr-defined]
            raise
