"""The proxy of ``ecgframe.testing``, with the seed in the output of a test that fails."""

from __future__ import annotations

from ecgframe.testing import CuttingProxy


def cutting_proxy(target: int, seed: int | None = None) -> CuttingProxy:
    proxy = CuttingProxy(target, seed)
    print(f"CuttingProxy(seed={proxy.seed})")
    return proxy
