"""``python -m ecgframe``, and the command ``ecgframe``."""

import sys


def main() -> None:
    """Run the command line, or say what it needs."""
    try:
        from .cli.app import app  # noqa: PLC0415 - typer, rich and orjson are an extra
    except ModuleNotFoundError as error:
        sys.exit(f'ecgframe: the command line needs {error.name}, which is not installed: pip install "ecgframe[cli]"')
    app(prog_name="ecgframe")


if __name__ == "__main__":
    main()
