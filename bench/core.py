"""Check that the compiled core is measured, since a clone beside an installed package would use the plain one."""

from argparse import ArgumentParser

import ecgframe

HELP = "measure the core in plain Python, if that is the one in use"


def refusal(*, plain: bool) -> str:
    """Return why nothing is measured; empty if the core in use is the requested one.

    Args:
        plain: whether ``--plain`` was given.
    """
    if ecgframe.accelerated or plain:
        return ""
    return (
        f"{ecgframe.__file__} uses the plain core, whose figures say nothing about the compiled one: "
        "build that with 'python setup.py --quiet build_ext --inplace', or measure the plain core with --plain"
    )


def add_option(parser: ArgumentParser) -> None:
    """Add the option ``--plain`` to a command."""
    parser.add_argument("--plain", action="store_true", help=HELP)


def check(parser: ArgumentParser, *, plain: bool) -> None:
    """Exit with a usage error if the core in use is not the requested one."""
    if why := refusal(plain=plain):
        parser.error(why)
