"""Entry point of ``python -m ecgframe`` and of the command ``ecgframe``."""

import sys


def main() -> None:
    """Run the command line, or say which library is missing."""
    try:
        from .cli.app import app  # noqa: PLC0415 - typer, rich and orjson are optional
        from .cli.console import take_any_encoding  # noqa: PLC0415
    except ModuleNotFoundError as error:
        sys.exit(f'ecgframe: the command line needs {error.name}, which is not installed: pip install "ecgframe[cli]"')
    take_any_encoding()
    app(prog_name="ecgframe")


if __name__ == "__main__":
    main()
