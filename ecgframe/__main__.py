"""Entry point of ``python -m ecgframe`` and of the command ``ecgframe``."""

import sys
from importlib.util import find_spec

from .libraries import how_to_install


def main() -> None:
    """Run the command line, or say which library is missing."""
    try:
        from .cli.app import app  # noqa: PLC0415 - typer is optional
        from .cli.encodings import take_any_encoding  # noqa: PLC0415 - as above

        if find_spec("rich") is None:  # which is imported when something is printed
            raise ModuleNotFoundError(name="rich")
    except ModuleNotFoundError as error:
        command = how_to_install("cli")
        sys.exit(f"ecgframe: the command line needs {error.name}, which is not installed: {command}")
    take_any_encoding()
    app(prog_name="ecgframe")


if __name__ == "__main__":
    main()
