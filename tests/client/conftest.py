"""Clients of version 4, and of version 3."""

import pytest

from client import servers
from ecgframe.protocol import SESSION_VERSIONS, STANDALONE_VERSIONS


@pytest.fixture(params=[STANDALONE_VERSIONS, SESSION_VERSIONS], ids=["V3", "V4"])
def each_version(request, monkeypatch):
    """Run a test with clients that speak up to version 3, and up to version 4. Returns the highest."""
    monkeypatch.setattr(servers, "spoken", request.param)
    return request.param[-1]
