"""Defaults for `pytest bench`: what to measure with, and what to print. An option on the command line wins."""

import sys
from pathlib import Path

import pytest

# The suites share peers.py and ecg.py, which pytest's import mode leaves off the path.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

DEFAULTS = {
    "benchmark_columns": ["min", "median", "iqr", "rounds"],
    "benchmark_sort": "min",
    "benchmark_max_time": 0.2,
    "benchmark_min_rounds": 5,
    "benchmark_disable_gc": True,
}


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
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
