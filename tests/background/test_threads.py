"""The threads: what is called in them comes back, and large structures are freed bit by bit."""

import asyncio
import os
import random
import threading

import pytest
from running import run

from ecgframe.background.threads import MOST_THREADS, in_thread, let_go


def test_results_and_errors_come_back():
    async def conversation():
        assert await in_thread(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await in_thread(divmod, 7, 0)
        names = await asyncio.gather(*(in_thread(lambda: threading.current_thread().name) for _ in range(20)))
        assert all(name.startswith("ecgframe encoder") for name in names)
        assert len(set(names)) <= MOST_THREADS

    run(conversation())
    run(conversation())  # in another loop as well


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    async def call():
        return await asyncio.wait_for(in_thread(divmod, 7, 2), 10)

    assert asyncio.run(call()) == (3, 1)
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if asyncio.run(call()) == (3, 1) else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("seed", range(10))
def test_all_containers_end_empty(seed):
    dice, containers = random.Random(seed), []

    def make(depth):
        if depth == 0 or dice.random() < 0.2:
            return dice.choice([1, "a", (1, 2), None])
        n = dice.choice([0, 1, 5, 2500 if depth == 1 else 3])
        made = [make(depth - 1) for _ in range(n)] if dice.random() < 0.5 else {i: make(depth - 1) for i in range(n)}
        containers.append(made)
        return made

    let_go({"x": make(4), "y": [make(3)]})
    assert containers
    assert not any(containers)
