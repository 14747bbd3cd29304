"""Diagnostic tools: they read files, captures and connections, whether those conform to the protocol or not."""


class ToolError(ValueError):
    """A tool cannot work on its input. The message is written for the user."""
