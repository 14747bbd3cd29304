"""Engines have the whole interface of a backplane: by their names and signatures, and as mypy sees them."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from recordings import optional

from ecgframe.server import LocalBackplane, WebSocketBinaryHandler
from ecgframe.server.backplane import Backplane, NumberedBackplane, numbers_messages
from ecgframe.session import Settings

PARTS = [name for name in vars(Backplane) | vars(NumberedBackplane) if not name.startswith("_")]


def engines():
    optional("redis")
    from ecgframe.server.redis import RedisBackplane, RedisClusterBackplane

    return {"redis": RedisBackplane, "cluster": RedisClusterBackplane}


def parameters(function):
    """Names, kinds and defaults of the parameters."""
    return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("part", PARTS)
def test_engines_take_what_the_interface_says(part):
    for engine in engines().values():
        assert parameters(getattr(engine, part)) == parameters(getattr(NumberedBackplane, part)), engine
        assert inspect.iscoroutinefunction(getattr(engine, part)) is inspect.iscoroutinefunction(
            getattr(NumberedBackplane, part)
        )


def test_an_engine_numbers_messages_by_its_version():
    optional("redis")
    from ecgframe.server.redis import RedisBackplane, RedisClusterBackplane

    for engine in (RedisBackplane, RedisClusterBackplane):
        assert numbers_messages(engine("redis://127.0.0.1:1", version=4))
        assert not numbers_messages(engine("redis://127.0.0.1:1"))
    assert not numbers_messages(LocalBackplane())


@pytest.mark.parametrize("part", PARTS)
def test_a_handler_refuses_an_engine_that_lacks_a_part(part):
    whole = {name: getattr(NumberedBackplane, name) for name in PARTS if name != part}
    backplane = type("Partial", (), {"version": 4, **whole})()
    with pytest.raises(ValueError, match=rf"lacks {part}$"):
        WebSocketBinaryHandler(settings=Settings(versions=(1, 2, 3, 4)), backplane=backplane)


@pytest.mark.slow
def test_mypy_compares_an_engine_with_the_interface(tmp_path):
    pytest.importorskip("mypy")
    project = Path(__file__).parents[2]
    other = tmp_path / "other_engine.py"
    other.write_text(
        "from ecgframe.server.backplane import LocalBackplane, NumberedBackplane\n\n\n"
        "class Engine(LocalBackplane):\n    version: int = 4\n\n\n"
        "is_whole: type[NumberedBackplane] = Engine\n"
    )
    # The configuration and the cache of the project: without a cache, mypy reads all of NumPy for minutes.
    options = (f"--config-file={project / 'pyproject.toml'}", f"--cache-dir={project / '.mypy_cache'}")
    output = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(other)], capture_output=True, text=True, check=False, timeout=300
    ).stdout
    assert "other_engine.py:8: error: Incompatible types in assignment" in output
