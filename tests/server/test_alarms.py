"""Alarms of a server: passed on to those who may see them, acknowledged, limited, and kept over a restart."""

from __future__ import annotations

import json
import math
from contextlib import asynccontextmanager

import pytest
from running import run

import ecgframe
from ecgframe import MessageType
from ecgframe.errors import InvalidDataFormat, RateLimitExceeded
from ecgframe.messages import check_sent
from ecgframe.server import WebSocketBinaryHandler, alarm_book
from ecgframe.server.adapters.websockets import serve
from ecgframe.server.alarm_book import MOST_ALARMS, MOST_LIMITS, AlarmBook, alarm_list
from ecgframe.server.alarm_file import AlarmFile
from ecgframe.server.alarm_limits import AlarmLimits, RateWatch, rate_of
from ecgframe.server.alarms import ALL_ALERTS, Alarms

ASYSTOLE = {
    "kind": "asystole",
    "severity": "critical",
    "timestamp": 104.0,
    "start": 100.0,
    "lead": "II",
    "message": "no beat",
}
ENDED = {**ASYSTOLE, "severity": "info", "timestamp": 120.0, "end": 120.0, "message": "beats again"}
LIMITS = {"rate_high": 120.0, "rate_low": math.nan, "asystole": 6.0, "lead_off": 1.0}


# --- the book ---


def test_an_alert_and_its_end_are_one_alarm():
    book = AlarmBook()
    begun = book.add("ecg/1", ASYSTOLE, 104.0)
    assert book.add("ecg/1", ENDED, 120.0) is begun
    assert book.add("ecg/1", ASYSTOLE, 121.0) is begun  # the same again, late
    assert (begun.end, begun.severity, begun.message) == (120.0, "critical", "no beat")
    assert book.add("ecg/2", ASYSTOLE, 104.0) is not begun
    assert [one.source for one in book.alarms()] == ["ecg/2", "ecg/1"]
    assert book.alarms("ecg/1") == [begun]


def test_alerts_without_an_episode_are_one_alarm_each():
    book = AlarmBook()
    event = {"kind": "event", "timestamp": 5.0, "message": "x"}
    one = book.add("ecg/1", event, 5.0)
    assert book.add("ecg/1", event, 6.0) is one
    assert book.add("ecg/1", {**event, "timestamp": 7.0}, 7.0) is not one


def test_an_acknowledgement_is_kept_with_its_name_and_not_changed_by_others():
    book = AlarmBook()
    alarm = book.add("ecg/1", ASYSTOLE, 104.0)
    request = {**ASYSTOLE, "source": "ecg/1", "alarm": alarm.alarm, "acknowledged_by": " Ada "}
    assert book.acknowledge(request, 110.0) is alarm
    book.acknowledge({**request, "acknowledged_by": "Bob"}, 111.0)
    assert (alarm.acknowledged_by, alarm.acknowledged_at) == ("Ada", 110.0)


def test_what_a_page_has_found_itself_is_joined_within_five_seconds_or_noted():
    book = AlarmBook()
    alarm = book.add("ecg/1", ASYSTOLE, 104.0)
    request = {**ASYSTOLE, "source": "ecg/1", "start": 102.5, "acknowledged_by": "Ada"}
    assert book.acknowledge(request, 110.0) is alarm
    other = book.acknowledge({**request, "start": 200.0, "alarm": "unknown"}, 210.0)
    assert other is not alarm
    assert other.acknowledged_by == "Ada"
    # The name of an alarm of one stream does not acknowledge that of another.
    assert book.acknowledge({**request, "source": "ecg/2", "alarm": alarm.alarm}, 211.0) is not alarm


@pytest.mark.parametrize(
    "changed",
    [
        {"source": None},
        {"source": ""},
        {"source": "x" * 257},
        {"acknowledged_by": ""},
        {"acknowledged_by": 5},
        {"kind": 5},
        {"kind": ""},
    ],
)
def test_an_invalid_acknowledgement_is_refused(changed):
    book = AlarmBook()
    with pytest.raises(InvalidDataFormat):
        book.acknowledge({**ASYSTOLE, "source": "ecg/1", "acknowledged_by": "Ada", **changed}, 1.0)
    assert book.alarms() == []


def test_the_book_forgets_the_oldest_that_is_done_first(monkeypatch):
    monkeypatch.setattr(alarm_book, "MOST_ALARMS", 20)
    book = AlarmBook()
    lasting = book.add("ecg/1", ASYSTOLE, 104.0)
    for number in range(20):
        book.add("ecg/2", {**ENDED, "start": float(1000 * number), "end": 1000.0 * number + 1}, 0.0)
    assert len(book.alarms()) == 20
    assert (book.alarms()[-1], book.forgotten) == (lasting, 1)
    for number in range(20):
        book.add("ecg/3", {**ASYSTOLE, "start": 1000.0 * number}, 0.0)
    assert len(book.alarms()) == 20
    assert {one.source for one in book.alarms()} == {"ecg/3"}


def test_the_book_bounds_every_text():
    alarm = AlarmBook().add("ecg/1", {"kind": "k" * 9999, "message": "m" * 9999, "lead": "l" * 9999}, 1.0)
    assert max(len(text) for text in (alarm.kind, alarm.message, alarm.lead)) == 300


def test_the_book_is_saved_and_read_again():
    book = AlarmBook()
    alarm = book.add("ecg/1", ASYSTOLE, 104.0)
    book.acknowledge({**ASYSTOLE, "source": "ecg/1", "alarm": alarm.alarm, "acknowledged_by": "Ada"}, 110.0)
    book.add("ecg/2", {"kind": "event", "timestamp": 5.0}, 5.0)
    book.set_limits({"source": "ecg/1", "features": LIMITS})
    again = AlarmBook.from_json(json.loads(json.dumps(book.to_json(), allow_nan=False)))
    assert again.alarms() == book.alarms()
    assert again.limits() == book.limits() == {"ecg/1": AlarmLimits(120.0, None, 6.0, True)}


@pytest.mark.parametrize(
    "saved",
    [
        None,
        [],
        {},
        {"version": 2, "alarms": [], "limits": {}},
        {"version": 1, "alarms": {}, "limits": {}},
        {"version": 1, "alarms": [5], "limits": {}},
        {"version": 1, "alarms": [{"source": "ecg/1"}], "limits": {}},
        {"version": 1, "alarms": [{"source": "a", "alarm": "1"}] * 2, "limits": {}},
        {"version": 1, "alarms": [{}] * (MOST_ALARMS + 1), "limits": {}},
        {"version": 1, "alarms": [], "limits": []},
        {"version": 1, "alarms": [], "limits": {"ecg/1": {}}},
        {"version": 1, "alarms": [], "limits": {"ecg/1": 5}},
    ],
)
def test_a_file_of_another_form_is_refused(saved):
    with pytest.raises(ValueError, match=r"."):
        AlarmBook.from_json(saved)


def test_what_is_sent_passes_the_checks_of_a_sender():
    book = AlarmBook()
    alarm = book.add("ecg/1", ASYSTOLE, 104.0)
    book.set_limits({"source": "ecg/1", "features": LIMITS})
    check_sent(MessageType.ANOMALY_ALERT, alarm.fields())
    check_sent(MessageType.ANOMALY_ALERT, alarm_list(book.alarms(), book.limits(), 5.0))
    check_sent(MessageType.FEATURE_DATA, {"features": book.limits()["ecg/1"].features(), "source": "ecg/1"})


# --- limits ---


@pytest.mark.parametrize(
    "changed",
    [
        {"rate_high": 10},
        {"rate_low": 400},
        {"rate_low": 130},
        {"asystole": 3},
        {"asystole": "4"},
        {"lead_off": 2},
        {"rate_high": True},
        {"rate_high": None},
        {"rate_high": math.inf},
    ],
)
def test_invalid_limits_are_refused(changed):
    with pytest.raises(InvalidDataFormat):
        AlarmLimits.from_features({**LIMITS, **changed})


def test_limits_of_too_many_beds_are_refused():
    book = AlarmBook()
    for number in range(MOST_LIMITS):
        book.set_limits({"source": f"ecg/{number}", "features": LIMITS})
    with pytest.raises(RateLimitExceeded):
        book.set_limits({"source": "one more", "features": LIMITS})
    book.set_limits({"source": "ecg/0", "features": LIMITS})


def test_a_rate_beyond_a_limit_for_three_seconds_is_an_alarm():
    watch, limits = RateWatch(), AlarmLimits(120.0, 45.0, 4.0, True)
    told = []
    for second in range(30):
        rate = 150.0 if 5 <= second < 15 else 70.0
        told += [
            (second, one["kind"], one["start"], one.get("end")) for one in watch.update(rate, limits, float(second))
        ]
    assert told == [(8, "rate_high", 5.0, None), (18, "rate_high", 5.0, 18.0)]


def test_an_unknown_rate_ends_nothing_and_a_limit_that_is_gone_ends_its_alarm():
    watch, limits = RateWatch(), AlarmLimits(None, 45.0, 4.0, True)
    for second in range(3):
        assert watch.update(30.0, limits, float(second)) == []
    [begun] = watch.update(30.0, limits, 3.0)
    check_sent(MessageType.ANOMALY_ALERT, begun)
    assert watch.update(None, limits, 9.0) == []
    [ended] = watch.update(30.0, AlarmLimits(None, None, 4.0, True), 10.0)
    check_sent(MessageType.ANOMALY_ALERT, ended)
    assert (ended["kind"], ended["end"]) == ("rate_low", 10.0)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"features": {"heart_rate": 70.0}, "timestamp": 5.0, "window": 1.0}, (70.0, 6.0)),
        ({"features": {"heart_rate": math.nan}}, (None, None)),
        ({"features": {"heart_rate": "70"}}, None),
        ({"features": 5}, None),
        (None, None),
    ],
)
def test_the_rate_of_a_message(data, found):
    assert rate_of(MessageType.FEATURE_DATA, data) == found
    assert rate_of(MessageType.ECG_DATA, data) is None


# --- a server ---


@asynccontextmanager
async def server_of(alarms, user=None):
    async def authenticate(request):
        return {"name": user}

    async with WebSocketBinaryHandler(
        authenticate=None if user is None else authenticate,
        authorize=alarms.authorize,
        on_message=alarms.on_message,
    ) as handler:
        alarms.attach(handler)
        async with serve(handler, "127.0.0.1", 0) as server:
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def anybody(connection, stream):
    return True


async def listed(url):
    """Return the list that a new viewer of all alerts gets."""
    async with ecgframe.connect(url) as client:
        others = client.messages()
        async with client.subscribe(ALL_ALERTS):
            return (await anext(others)).data


def test_alerts_of_all_streams_come_on_one(tmp_path):
    async def watching():
        alarms = Alarms()
        async with (
            server_of(alarms) as url,
            ecgframe.connect(url) as client,
            client.subscribe(ALL_ALERTS) as of_all,
            client.subscribe("alerts/ecg/2") as of_two,
        ):
            await alarms.publish("ecg/1", MessageType.ANOMALY_ALERT, ASYSTOLE)
            await alarms.publish("ecg/2", MessageType.ANOMALY_ALERT, ASYSTOLE)
            return [(await anext(of_all)).data for _ in range(2)], (await anext(of_two)).data

    all_of_them, of_two = run(watching())
    assert [(one["source"], one["stream"]) for one in all_of_them] == [("ecg/1", ALL_ALERTS), ("ecg/2", ALL_ALERTS)]
    assert (of_two["source"], of_two["stream"]) == ("ecg/2", "alerts/ecg/2")
    assert of_two["alarm"] == all_of_them[1]["alarm"]
    assert {name: of_two[name] for name in ASYSTOLE} == ASYSTOLE


def test_whoever_may_watch_a_stream_may_see_its_alerts():
    asked = []

    async def authorize(connection, action, stream):
        asked.append((action, stream))
        return stream in ("ecg/1", "ecg/9")

    async def watching():
        alarms = Alarms(authorize=authorize, may_acknowledge=anybody)
        async with server_of(alarms) as url, ecgframe.connect(url) as client:
            async with client.subscribe("alerts/ecg/1"):
                pass
            for refused in ("alerts/ecg/2", ALL_ALERTS):
                with pytest.raises(ecgframe.ProtocolError):
                    async with client.subscribe(refused) as stream:
                        await anext(stream)
            await client.send_message(MessageType.ANOMALY_ALERT, {**ASYSTOLE, "stream": "alerts/ecg/1"})
            await client.ping()
            assert alarms._book.alarms() == []  # nobody but the server publishes there

    run(watching())
    assert asked == [("subscribe", "ecg/1"), ("subscribe", "ecg/2"), ("subscribe", "*")]


def test_an_acknowledgement_reaches_all_viewers_and_those_who_come_later(tmp_path):
    path = tmp_path / "alarms.json"

    async def acknowledging():
        alarms = Alarms(may_acknowledge=anybody, file=AlarmFile(path))
        async with server_of(alarms) as url, ecgframe.connect(url) as nurse, ecgframe.connect(url) as other:
            others = other.messages()
            async with other.subscribe(ALL_ALERTS) as stream:
                assert (await anext(others)).data["alarms"] == []
                await alarms.publish("ecg/1", MessageType.ANOMALY_ALERT, ASYSTOLE)
                alert = (await anext(stream)).data
                request = {name: one for name, one in alert.items() if name != "stream"} | {"acknowledged_by": "Ada"}
                await nurse.send_message(MessageType.ANOMALY_ALERT, request, acknowledged=True)
                told = (await anext(stream)).data
            later = await listed(url)
            await alarms.close()
            return told, later

    async def after_a_restart():
        alarms = Alarms(may_acknowledge=anybody, file=AlarmFile(path))
        async with server_of(alarms) as url:
            return await listed(url)

    told, later = run(acknowledging())
    assert (told["acknowledged_by"], told["source"]) == ("Ada", "ecg/1")
    assert (later["kind"], later["acknowledges"], later["kept"]) == ("alarms", True, True)
    assert "stream" not in later
    [alarm] = later["alarms"]
    assert alarm == {name: one for name, one in told.items() if name != "stream"}
    assert run(after_a_restart())["alarms"] == later["alarms"]
    assert not path.stat().st_mode & 0o077
    assert [one.name for one in tmp_path.iterdir()] == ["alarms.json"]


@pytest.mark.parametrize(
    ("stated", "user", "expected"),
    [
        ("Ada", None, "Ada"),
        ("Ada", "ward 7", "Ada (signed in as ward 7)"),
        (" ward 7 ", "ward 7", "ward 7"),
        ("", "ward 7", "ward 7"),
        ("Bob (signed in as ward 8)", "ward 7", "Bob (signed in as ward 8) (signed in as ward 7)"),
        ("x" * 200, "ward 7", "x" * (80 - len(" (signed in as ward 7)")) + " (signed in as ward 7)"),
    ],
)
def test_who_acknowledges_is_told_with_the_identity_of_the_connection(stated, user, expected):
    async def acknowledging():
        alarms = Alarms(may_acknowledge=anybody)
        async with server_of(alarms, user) as url, ecgframe.connect(url) as nurse:
            others = nurse.messages()
            async with nurse.subscribe(ALL_ALERTS) as stream:
                of_nurse = (await anext(others)).data
                request = {**ASYSTOLE, "source": "ecg/1", "acknowledged_by": stated}
                await nurse.send_message(MessageType.ANOMALY_ALERT, request, acknowledged=True)
                return of_nurse, (await anext(stream)).data

    of_nurse, told = run(acknowledging())
    assert of_nurse.get("user") == user
    assert told["acknowledged_by"] == expected


def test_nobody_acknowledges_who_may_not():
    async def asking(may_acknowledge):
        refused = []
        alarms = Alarms(may_acknowledge=may_acknowledge)
        async with server_of(alarms) as url, ecgframe.connect(url, on_error=refused.append) as client:
            data = {**ASYSTOLE, "source": "ecg/1", "acknowledged_by": "Ada"}
            await client.send_message(MessageType.ANOMALY_ALERT, data)
            await client.send_message(MessageType.FEATURE_DATA, {"features": LIMITS, "source": "ecg/1"})
            await client.ping()
            assert alarms._book.alarms() == []
            assert alarms._book.limits() == {}
            return await listed(url), [error.code for error in refused]

    async def only_of_two(connection, stream):
        return stream == "ecg/2"

    for hook, acknowledges in ((None, False), (only_of_two, True)):
        later, codes = run(asking(hook))
        assert later["acknowledges"] is acknowledges
        assert set(codes) == {0x203}


def test_limits_reach_all_viewers_and_are_watched():
    async def limiting():
        alarms = Alarms(may_acknowledge=anybody)
        async with server_of(alarms) as url, ecgframe.connect(url) as client:
            async with client.subscribe("alerts/ecg/1") as stream:
                await client.send_message(MessageType.FEATURE_DATA, {"features": LIMITS, "source": "ecg/1"})
                told = (await anext(stream)).data
                for second in range(5):
                    rate = {"features": {"heart_rate": 150.0}, "timestamp": 1000.0 + second, "window": 1.0}
                    await alarms.publish("ecg/1", MessageType.FEATURE_DATA, rate)
                    await alarms.publish("ecg/2", MessageType.FEATURE_DATA, rate)
                alert = (await anext(stream)).data
            return told, alert, await listed(url)

    told, alert, later = run(limiting())
    assert told["source"] == "ecg/1"
    assert told["features"]["rate_high"] == 120.0
    assert math.isnan(told["features"]["rate_low"])
    assert (alert["kind"], alert["source"], alert["start"]) == ("rate_high", "ecg/1", 1001.0)
    assert later["limits"].keys() == {"ecg/1"}
    assert [one["source"] for one in later["alarms"]] == ["ecg/1"]


def test_alerts_of_hidden_streams_are_not_passed_on():
    async def hiding():
        alarms = Alarms(hides=lambda stream: stream == "sealed")
        async with server_of(alarms) as url:
            await alarms.publish("sealed", MessageType.ANOMALY_ALERT, ASYSTOLE)
            return await listed(url)

    assert run(hiding())["alarms"] == []


def test_alerts_that_clients_publish_are_passed_on():
    async def authorize(connection, action, stream):
        return True

    async def publishing():
        alarms = Alarms(authorize=authorize)
        async with (
            server_of(alarms) as url,
            ecgframe.connect(url) as client,
            client.subscribe(ALL_ALERTS) as stream,
        ):
            await client.send_message(MessageType.ANOMALY_ALERT, {**ASYSTOLE, "stream": "ecg/7"})
            return (await anext(stream)).data

    assert run(publishing())["source"] == "ecg/7"


def test_alarms_without_a_handler_say_so():
    async def publishing():
        await Alarms().publish("ecg/1", MessageType.ANOMALY_ALERT, ASYSTOLE)

    with pytest.raises(RuntimeError, match="attach"):
        run(publishing())


# --- the file ---


def test_a_file_that_is_none_of_alarms_is_refused(tmp_path):
    path = tmp_path / "alarms.json"
    for content in ("", "{", "[]", "[" * 100_000):
        path.write_text(content)
        with pytest.raises(ValueError, match="no file of alarms"):
            AlarmFile(path)
    with pytest.raises(PermissionError):
        AlarmFile(tmp_path / "nowhere" / "alarms.json")


def test_changes_while_it_is_written_are_written_once_more(tmp_path):
    path = tmp_path / "alarms.json"

    async def changing():
        file = AlarmFile(path)
        for number in range(50):
            file.book.add("ecg/1", {**ASYSTOLE, "start": 1000.0 * number}, 0.0)
            file.changed()
        await file.close()

    run(changing())
    assert len(AlarmFile(path).book.alarms()) == 50


def test_a_file_that_cannot_be_written_is_logged(tmp_path, caplog):
    folder = tmp_path / "folder"
    folder.mkdir()

    async def changing():
        file = AlarmFile(folder / "alarms.json")
        folder.rmdir()
        file.changed()
        await file.close()

    run(changing())
    assert "the alarms were not written to their file" in caplog.text
