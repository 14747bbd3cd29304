"""The command line. Each command parses its options, calls one function and prints the result.

A command that needs more than one module is a folder: ``__init__`` declares the options (typer), ``run`` does the work,
``views`` formats the output. ``run`` and ``views`` are imported when the command is called. Modules that several
commands share are beside the folders.
"""
