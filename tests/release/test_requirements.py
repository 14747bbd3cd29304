"""The Pythons and platforms whose requirements are checked; only nox queries the index."""

from __future__ import annotations

import pytest
from release_package import load

pytest.importorskip("packaging")
requirements = load("requirements")


def test_every_python_on_every_platform_is_a_target():
    found = list(requirements.targets())
    assert len(found) == len({(target.python, target.platform) for target in found}) == 7 * 8
    (target,) = [one for one in found if (one.python, one.platform) == ("cp315t", "Windows ARM64")]
    assert target.tags == ("win_arm64",)
    assert target.environment["python_version"] == "3.15"
    assert {one.environment["sys_platform"] for one in found} == {"linux", "darwin", "win32"}


def test_markers_are_heeded():
    names = {
        python: {name.partition(">")[0] for name in requirements.required(target)}
        for target in requirements.targets()
        for python in [target.python]
    }
    assert "deflate" in names["cp314t"]
    assert "deflate" not in names["cp315t"]
    assert names["cp311"] == {"numpy", "msgpack", "zlib-ng", "deflate"}


@pytest.mark.parametrize("answer", ["No matching distribution found for deflate", "the network is gone"])
def test_missing_wheels_are_named_and_a_silent_index_is_an_error(answer, monkeypatch):
    target = next(requirements.targets())

    def run(*words, cwd):
        if "deflate>=0.8" in words:
            raise requirements.Failed(answer)
        return ""

    monkeypatch.setattr(requirements, "run", run)
    if "network" in answer:
        with pytest.raises(requirements.Failed, match="network"):
            requirements.missing(target, ["numpy>=1", "deflate>=0.8"])
    else:
        assert requirements.missing(target, ["numpy>=1", "deflate>=0.8"]) == ["deflate>=0.8"]
        assert requirements.missing(target, ["numpy>=1"]) == []
