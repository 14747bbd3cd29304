import gc
import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "whole",
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("brief", settings.get_profile("whole"), max_examples=5)


LEFT_OUT = {
    "slow": "slow tests were left out; pytest --slow runs them too",
    "alone": "tests that measure time were left out; pytest -m alone runs them, one after the other",
}


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the slow tests as well")


def pytest_configure(config):
    profile = "whole" if config.getoption("--slow") else "brief"
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", profile))
    config.pluginmanager.register(Selection(config))


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Let a process that has run its tests take some of another's: the last of a run start programs, and take long."""
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
    """Spare what collecting has made, half a million objects, each later garbage collection: half a second every time.

    Many tests end with one, to find what nobody holds any more; others would be stopped by one while they run.
    """
    gc.collect()
    gc.freeze()


class Selection:
    """Which tests run where none is named: without ``--slow`` the quick ones; beside others, none that measures time.

    What is left out is counted in every process that runs tests, and told at the end: nobody shall take the quick
    tests for all of them.
    """

    def __init__(self, config):
        is_named = bool(config.getoption("-m") or config.getoption("-k")) or any("::" in path for path in config.args)
        is_beside_others = hasattr(config, "workerinput")
        self.unwanted = set() if is_named else set(LEFT_OUT)
        if config.getoption("--slow"):
            self.unwanted &= {"alone"} if is_beside_others else set()
        self.left_out = Counter()

    def pytest_collection_modifyitems(self, config, items):
        kept, left_out = [], []
        for item in items:
            marks = [name for name in LEFT_OUT if name in self.unwanted and item.get_closest_marker(name)]
            self.left_out.update(marks[-1:])
            (left_out if marks else kept).append(item)
        if left_out:
            items[:] = kept
            config.hook.pytest_deselected(items=left_out)

    def pytest_sessionfinish(self, session):
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["left_out"] = dict(self.left_out)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node):
        self.left_out |= Counter(getattr(node, "workeroutput", {}).get("left_out", {}))

    def pytest_terminal_summary(self, terminalreporter):
        for name, number in self.left_out.items():
            terminalreporter.write_line(f"{number} {LEFT_OUT[name]}")
