"""Episodes of asystole, fibrillation and leads that are off. The same cases are tested in TypeScript."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from ecgframe.features import HeartStatus, Rhythm, SignalQuality
from ecgframe.server.findings import Findings

CASES = json.loads((Path(__file__).parent / "findings.json").read_text())
LEADS = ("II", "V2")


def status(state):
    quality = tuple(map(SignalQuality, state["quality"]))
    return HeartStatus(60.0, None, Rhythm(state["rhythm"]), state["lead"], quality, state["silent"])


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_states_become_episodes(case):
    findings = Findings(LEADS)
    told = [finding for state in case["states"] for finding in findings.update(status(state), state["at"])]
    assert [asdict(finding) | {"leads": list(finding.leads)} for finding in told] == case["told"]


def test_open_episodes_can_be_ended():
    findings = Findings(LEADS)
    [begun] = findings.update(status(CASES[1]["states"][1]), 14)
    assert findings.open == (begun,)
    [ended] = findings.close("no longer watched", 15)
    assert (ended.kind, ended.start, ended.end, ended.message) == ("asystole", 10, 15, "no longer watched")
    assert findings.open == ()
