"""The command line. Each command parses, calls one thing and prints.

A command that needs more than its options is a folder: ``__init__`` holds the options (typer), ``run`` what the command
does, ``views`` how it is shown. ``run`` and ``views`` are imported when the command is called. What several commands
share stands beside the folders.
"""
