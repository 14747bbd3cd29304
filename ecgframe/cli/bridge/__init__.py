"""``ecgframe bridge``."""

import typer

from .lsl import lsl

bridge = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="Connect to other systems for live data.")
bridge.add_typer(lsl, name="lsl")
