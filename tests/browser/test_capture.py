"""A captured session of the monitor, which inspect and tshark decode alike."""

from __future__ import annotations

from cli.live_server import live
from tools.tshark import Tshark, assert_alike, examined, tcpdump


def test_a_session_of_the_monitor_is_decoded_alike_by_inspect_and_tshark(open_monitor, tmp_path):
    tshark, capture = Tshark(tmp_path), tmp_path / "session.pcap"
    with live("--alerts", 1) as server:
        with tcpdump(server.port, capture):
            monitor = open_monitor(server.port)
            monitor.wait("s.end > 2500 && alerts.length > 0")
        monitor.check_quiet()
    frames = examined(capture)
    assert all(frame.error is None for frame in frames)
    names = [frame.type_name for frame in frames]
    assert names[:2] == ["PROTOCOL_NEGOTIATION"] * 2
    assert names.count("ECG_DATA") > 30
    assert "ANOMALY_ALERT" in names
    assert {frame.origin.from_server for frame in frames} == {True, False}
    assert_alike(tshark, capture)
