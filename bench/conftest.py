"""Defaults for `pytest bench`: what to measure with, and what to print. An option on the command line wins."""

import sys
from pathlib import Path

import pytest

# The suites share peers.py and ecg.py, which pytest's import mode leaves off the path. The root comes last: beside an
# installed package, what lies there is not built.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1]))

from bench import core

DEFAULTS = {
    "benchmark_columns": ["min", "median", "iqr", "rounds"],
    "benchmark_sort": "min",
    "benchmark_max_time": 0.2,
    "benchmark_min_rounds": 5,
    "benchmark_disable_gc": True,
}


def pytest_addoption(parser):
    parser.addoption("--plain", action="store_true", help=core.HELP)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    if why := core.refusal(plain=config.getoption("--plain")):
        raise pytest.UsageError(why)
    given = " ".join(config.invocation_params.args)
    for option, value in DEFAULTS.items():
        if "--" + option.replace("_", "-") not in given:
            setattr(config.option, option, value)


@pytest.fixture
def measure(benchmark):
    """Time one call as a line of a table: `measure(group, line, function, *args)` returns what the call returned."""

    def run(group, line, function, *args, **extra):
        benchmark.group = group
        benchmark.name = line
        benchmark.extra_info.update(extra)
        return benchmark(function, *args)

    return run
