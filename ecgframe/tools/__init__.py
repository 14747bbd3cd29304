"""What looks at the protocol from outside: at files, captures and connections, whether they keep to it or not."""


class ToolError(ValueError):
    """Something that a tool was given and cannot work on. The message is for the person who gave it."""
